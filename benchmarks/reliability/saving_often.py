"""`maezoo pretrain` with a checkpoint and a line of the log after each step, so that kills happen while they are written."""

from maezoo.cli import main
from maezoo.training.trainer import pretrain

__all__: list[str] = []

if __name__ == "__main__":
    pretrain.__kwdefaults__ |= {"checkpoint_seconds": 0.0, "report_every": 1}
    main()
