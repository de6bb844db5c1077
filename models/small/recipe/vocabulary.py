"""Every name the model is taught, as the JSON list that `clipn-native export --vocabulary` takes."""
import argparse
import json

from data import concepts, read_splits


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("caltech", "splits", "out"):
        p.add_argument("--" + name, required=True)
    args = p.parse_args()
    names = dict.fromkeys(name for entry in concepts(read_splits(args.splits), args.caltech).names for name in entry)
    with open(args.out, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(name) for name in names) + "\n]\n")


if __name__ == "__main__":
    main()
