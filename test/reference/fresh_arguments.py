"""The command line of a check on fresh inputs: how many, and the seed that repeats them."""

import argparse
import secrets


def fresh_arguments(description: str, count: int) -> argparse.Namespace:
    """Reads --count and --seed; prints the seed first, so that any failure can be repeated."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    return args
