"""The command `fastcnn`: its subcommands and how errors are told. Beside the package, because importing that takes 0.1 seconds."""
from __future__ import annotations

import sys
from importlib import import_module

EXTRA = "the command line needs click and rich: pip install 'fastcnn[cli]'"
# Subcommand -> what it does; each is `command` in the module of its name in fastcnn/cli.
COMMANDS = {
    "summary": "A row a layer: shapes, parameters, MACs, receptive field, what computes it.",
    "run": "Images or arrays in; classes, pictures, arrays or JSON out.",
    "bench": "Beside onnxruntime, OpenVINO, ncnn, PyTorch: latency, throughput, memory, load as MLPerf has it.",
    "profile": "Where the time goes: milliseconds, share of the peak and of bandwidth, why this algorithm.",
    "compare": "Layer by layer against onnxruntime, numpy or another model; exit code 1 where they part.",
    "explain": "What layers detect: strongest patches, filters, maps, evidence for a class; pictures and a page.",
    "graph": "The network as in the file and as it runs: .svg, .html, .onnx for Netron, .json for Model Explorer.",
    "compile": "The model for this CPU in one file that is mapped in milliseconds.",
    "cache": "The models that load(cache=True) keeps: listed, cleared.",
    "kernels": "Everything that can compute a shape, timed, with the planner's pick.",
    "quantize": "A network of floats as one of 8 bits, calibrated with images or arrays; error and time a layer.",
    "serve": "Models over HTTP by the Open Inference Protocol, in batches.",
    "doctor": "The machine, threads and why, what it reaches, versions, a self-test of the kernels.",
    "knobs": "Every environment variable: type, default, meaning.",
}


def commands() -> object:
    """The group of all subcommands, imported when they are asked for."""
    import click

    class Commands(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            return import_module(f"fastcnn.cli.{name}").command if name in COMMANDS else None

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section("Commands"):
                formatter.write_dl(list(COMMANDS.items()))

        def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
            from click.shell_completion import CompletionItem
            return [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]

    def version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
        if asked:
            click.echo(f"fastcnn {import_module('fastcnn.version').__version__}")
            ctx.exit()

    return Commands("fastcnn", help="Look at, run and time ONNX networks on this CPU. COMMAND --help says more.",
                    params=[click.Option(["--version"], is_flag=True, expose_value=False, is_eager=True, callback=version,
                                         help="Show the version.")])


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand. Exit code 2 and one sentence for what the user can mend; other errors are faults of the program."""
    try:
        import click
        import rich  # noqa: F401  (installed, or nothing works: said here for all)
    except ImportError:
        print(f"fastcnn: {EXTRA}", file=sys.stderr)
        return 2
    try:
        return commands().main(arguments, prog_name="fastcnn", standalone_mode=False) or 0         # type: ignore[attr-defined]
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        return _told(error.format_message())
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if _is_for_users(error):
            return _told(str(error))
        raise


def _is_for_users(error: Exception) -> bool:
    errors = sys.modules.get("fastcnn.ir.errors")
    return isinstance(error, OSError) or (errors is not None and isinstance(error, errors.FastCNNError))


def _told(message: str) -> int:
    print(f"fastcnn: {' '.join(message.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
