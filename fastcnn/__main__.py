"""python -m fastcnn: the command `fastcnn`."""
import sys

from fastcnn_cli import main

if __name__ == "__main__":
    sys.exit(main())
