"""Measure reliability: kills, many calls, threads, full disks. Linux only.

    python -m benchmarks.reliability kills [--kills 50] [--only download extract pretrain finetune] [--seed 0]
    python -m benchmarks.reliability ranks [--kills 10] [--only ddp fsdp] [--restarts 0] [--seed 0]
    python -m benchmarks.reliability calls [--calls 10000] [--model mae_vit_tiny] [--only reconstruct …]
    python -m benchmarks.reliability threads [--threads 8] [--calls 40]
    python -m benchmarks.reliability disks [--only WRITER …]

`kills` ends work by SIGKILL at random moments and repeats it until it is done; the result is compared with that of an
undisturbed run. `ranks` kills one of two processes that share a pretraining run. `calls` measures the memory of many
calls. `threads` compares what threads compute together with what one computes alone. `disks` (as root: it mounts a
small disk) fills the disk under every writer.

Each prints one line for each subject, and exits with 1 if a promise was broken.
"""

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # so that torch starts no thread of its own before a fork


def main() -> int:
    options = _arguments()
    if options.what == "kills":
        from benchmarks.reliability.kills import measure_kills

        return measure_kills(options.only, options.kills, options.seed)
    if options.what == "ranks":
        from benchmarks.reliability.ranks import measure_ranks

        return measure_ranks(options.only, options.kills, options.restarts, options.seed)
    if options.what == "calls":
        from benchmarks.reliability.calls import measure_calls

        return measure_calls(options.only, options.calls, options.model)
    if options.what == "threads":
        from benchmarks.reliability.threads import measure_threads

        return measure_threads(options.threads, options.calls)
    from benchmarks.reliability.disks import measure_disks

    return measure_disks(options.only)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    kills = what.add_parser("kills")
    kills.add_argument("--kills", type=int, default=50, help="of each subject")
    kills.add_argument("--only", nargs="+", default=["download", "extract", "pretrain", "finetune"])
    kills.add_argument("--seed", type=int, default=0)
    ranks = what.add_parser("ranks")
    ranks.add_argument("--kills", type=int, default=10, help="with each way of sharing")
    ranks.add_argument("--only", nargs="+", default=["ddp", "fsdp"])
    ranks.add_argument("--restarts", type=int, default=0, help="that torchrun does by itself (--max-restarts)")
    ranks.add_argument("--seed", type=int, default=0)
    calls = what.add_parser("calls")
    calls.add_argument("--calls", type=int, default=10_000)
    calls.add_argument("--model", default="mae_vit_tiny")
    calls.add_argument(
        "--only", nargs="+", help="beginnings of what is printed: features encode reconstruct create optimize"
    )
    threads = what.add_parser("threads")
    threads.add_argument("--threads", type=int, default=8)
    threads.add_argument("--calls", type=int, default=40, help="of each thread")
    disks = what.add_parser("disks")
    disks.add_argument("--only", nargs="+", help="writers, as they are printed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
