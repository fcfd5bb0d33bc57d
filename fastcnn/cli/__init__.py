"""The subcommands of `fastcnn`, one a file: each reads its options, calls one Python function and shows what comes back."""
