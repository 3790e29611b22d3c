"""`maezoo pretrain` that writes a checkpoint and a line of the log after each step, so that some kills happen then."""

from maezoo.cli import main
from maezoo.training.trainer import pretrain

__all__: list[str] = []

if __name__ == "__main__":
    pretrain.__kwdefaults__ = {**(pretrain.__kwdefaults__ or {}), "checkpoint_seconds": 0.0, "report_every": 1}
    main()
