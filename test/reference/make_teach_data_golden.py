"""Golden file test/golden/teach-data.json: training data as other programs write it, and what it holds.

    python test/reference/make_teach_data_golden.py        (Pillow 12.3, pandas 3.0, pyarrow 25.0, fastparquet 2026.9)

Shards are written by Python's tarfile, tables by csv, pandas, pyarrow and fastparquet. The layout of img2dataset's three
forms is that of img2dataset/writer.py.
"""
import base64
import csv
import io
import json
import tarfile
import tempfile
import zlib
from pathlib import Path

import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def image(color, kind):
    out = io.BytesIO()
    Image.new("RGB", (2, 2), color).save(out, kind)
    return out.getvalue()


IMAGES = {
    "red": image("red", "PNG"),
    "green": image("green", "GIF"),
    "blue": image("blue", "JPEG"),
}
RED, GREEN, BLUE = IMAGES.values()
CAPTIONS = ["a dog, brown and old", 'the "big" cat', "zwei\nVögel; 鳥"]
PATHS = ["a.jpg", "sub/b.jpg", "c d.png"]

cases = []


def case(name, data, files, samples, **options):
    """`files`: name to bytes (stored compressed). `samples`: [image, captions…], the image a name in IMAGES or a path; or why there is none."""
    files = {path: base64.b64encode(zlib.compress(content)).decode() for path, content in files.items()}
    cases.append({"name": name, "data": data, "files": files, "options": options, "samples": samples})


# Shards

SHARD = [["red", CAPTIONS[0]], ["green", CAPTIONS[1]], ["blue", CAPTIONS[2]]]


def tar(members, format=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def shard(image_field, caption_field, keys=("000", "001", "002"), encode=str.encode, **more):
    """Three samples; `encode` makes a caption the bytes of its field."""
    members = []
    for key, content, caption in zip(keys, IMAGES.values(), CAPTIONS):
        members.append((f"{key}.{image_field}", content))
        members.append((f"{key}.{caption_field}", encode(caption)))
        members += [(f"{key}.{field}", content) for field, content in more.items()]
    return members


def json_of(**keys):
    return lambda caption: json.dumps({**keys, "caption": caption}).encode()


for name, members in {
    "input.jpg and outputs.txt": shard("input.jpg", "outputs.txt"),
    "img and cap": shard("img", "cap"),
    "upper case": shard("JPG", "TXT"),
    "an image without a telling name": shard("pixels", "text"),
    "the caption in json": shard("jpg", "json", encode=json_of(url="http://example.org", width=2)),
    "a text and the same in json": shard("jpg", "txt", json=json_of(url="x")("another")),
    "text in UTF-16 with a byte order mark": shard("jpg", "txt", encode=lambda text: text.encode("utf-16")),
    "text in UTF-16, big-endian": shard("jpg", "txt", encode=lambda text: text.encode("utf-16-be")),
    "text with a byte order mark and CRLF": shard("jpg", "txt", encode=lambda text: f"{text}\r\n".encode("utf-8-sig")),
    "other fields between": shard("jpg", "txt", npy=b"\x93NUMPY", pyd=b"\x80\x04N."),
    "keys in a folder": shard("jpg", "txt", keys=["./x/0", "./x/1", "./y/1"]),
    "what macOS adds": [("._000.jpg", b"\0\5\x16\7"), ("._000.txt", b"\0\5\x16\7"), *shard("jpg", "txt")],
}.items():
    case(f"shard: {name}", "0.tar", {"0.tar": tar(members)}, SHARD)

LONG = "k" * 120  # longer than a header's field
for format in ("USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"):
    keys = ["0", "1", "2"] if format == "USTAR_FORMAT" else [f"{LONG}{i}" for i in range(3)]
    case(f"shard: {format}", "0.tar", {"0.tar": tar(shard("jpg", "txt", keys), getattr(tarfile, format))}, SHARD)

case("shard: image and caption that are asked for", "0.tar",
     {"0.tar": tar(shard("photo.jpg", "long.txt", **{"mask.png": RED, "short.txt": b"short"}))}, SHARD,
     imageField="photo.JPG", captionField="Long.txt")
case("shard: a key of json that is asked for", "0.tar",
     {"0.tar": tar(shard("jpg", "json", encode=lambda text: json.dumps({"title": "t", "a": {"B": text}}).encode()))},
     SHARD, captionField="json.a.B")
case("shard: several captions in json", "0.tar",
     {"0.tar": tar([("0.jpg", RED), ("0.json", json.dumps({"captions": CAPTIONS}).encode())])}, [["red", *CAPTIONS]])
case("shard: class numbers and a list of names", "0.tar",
     {"0.tar": tar([("0.jpg", RED), ("0.cls", b"1"), ("1.jpg", GREEN), ("1.cls", b"0"), ("2.jpg", BLUE),
                    ("2.cls", b"2\n"), ("3.jpg", RED), ("3.cls", b"9"), ("4.jpg", RED), ("4.cls", b"dog"),
                    ("5.jpg", RED)]),
      "names.txt": "cat\r\ngrey dog\r\nHündin\r\n".encode("utf-8-sig")},
     [["red", "class grey dog"], ["green", "class cat"], ["blue", "class Hündin"], "class without a name",
      "class that is no number", "no class"], names="names.txt")
case("shard: class numbers and names as JSON, beside a text", "0.tar",
     {"0.tar": tar([("0.jpg", RED), ("0.cls", b"1"), ("0.txt", b"n01"), ("1.jpg", GREEN), ("1.cls", b"10"),
                    ("1.txt", b"n10")]),
      "names.json": json.dumps({"1": ["dog", "hound"], "10": "cat"}).encode()},
     [["red", "class dog"], ["green", "class cat"]], names="names.json")


# img2dataset: three samples, and one whose download failed

def img2dataset_rows():
    for i, (content, caption) in enumerate([*zip(IMAGES.values(), CAPTIONS), (None, "gone")]):
        yield content, {
            "caption": caption, "url": f"http://example.org/{i}", "key": f"{i:09d}",
            "status": "success" if content else "failed_to_download",
            "error_message": None if content else "HTTP Error 404", "width": 2, "height": 2,
            "original_width": 2, "original_height": 2, "exif": "{}", "sha256": "0" * 64,
        }


def arrow(rows, schema=None, **options):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, **options)
    return out.getvalue()


LIST = arrow([meta for _, meta in img2dataset_rows()])
STATS = json.dumps({"count": 4, "successes": 3}).encode()
fetched = [(content, meta) for content, meta in img2dataset_rows() if content]
sidecars = [
    (f"{meta['key']}.{field}", data)
    for content, meta in fetched
    for field, data in (("jpg", content), ("txt", meta["caption"].encode()), ("json", json.dumps(meta, indent=4).encode()))
]
case("img2dataset: webdataset", "out", {"out/00000.tar": tar(sidecars, tarfile.USTAR_FORMAT), "out/00000.parquet": LIST,
                                        "out/00000_stats.json": STATS}, SHARD)
case("img2dataset: files", "out",
     {**{f"out/00000/{name}": data for name, data in sidecars}, "out/00000.parquet": LIST, "out/00000_stats.json": STATS},
     [[f"out/00000/{meta['key']}.jpg", meta["caption"]] for _, meta in fetched])
case("img2dataset: files, the caption of the json", "out", {f"out/00000/{name}": data for name, data in sidecars},
     [[f"out/00000/{meta['key']}.jpg", meta["caption"]] for _, meta in fetched], captionField="json.caption")
PARQUET = arrow([{**meta, "jpg": content} for content, meta in img2dataset_rows()],
                pa.schema([*pa.Table.from_pylist([m for _, m in img2dataset_rows()]).schema, pa.field("jpg", pa.binary())]),
                row_group_size=2)
case("img2dataset: parquet", "out", {"out/00000.parquet": PARQUET, "out/00001.parquet": PARQUET,
                                     "out/00000_stats.json": STATS}, [*SHARD, "no image"] * 2)

# Tables

frame = pd.DataFrame({"id": [1, 2, 3], "filepath": PATHS, "title": CAPTIONS})
TABLE = [[path, caption] for path, caption in zip(PATHS, CAPTIONS)]

for sign, what in {",": "comma", ";": "semicolon", "|": "bar", "\t": "tab", "\x01": "control character", "^": "caret"}.items():
    case(f"table: pandas, {what}", "t.csv", {"t.csv": frame.to_csv(sep=sign, index=False).encode()}, TABLE)
case("table: a delimiter that is asked for", "t.csv",
     {"t.csv": frame[["filepath", "title"]].to_csv(sep=";", index=False, header=False).encode()}, TABLE,
     delimiter=";", imageColumn="1", captionColumn="2")
for dialect in ("excel", "excel-tab", "unix"):
    out = io.StringIO()
    csv.writer(out, dialect).writerows([frame.columns, *frame.values])
    case(f"table: csv, {dialect}", "t.tsv", {"t.tsv": out.getvalue().encode()}, TABLE)
PLAIN = [["a.jpg", "a dog, brown"], ["b.jpg", 'the "big" cat'], ["c.jpg", '"wow" they said']]
lines = "".join(f"{caption}\t{path}\r\n" for path, caption in PLAIN)
case("table: caption, tab, path, as CC3M's without a header and without quoting", "t.tsv", {"t.tsv": lines.encode()},
     PLAIN, imageColumn="2", captionColumn="1")
lines = "title\tfilepath\r\n\r\n" + lines.replace("\r\n", "\r\n \r\n")
for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
    case(f"table: {encoding}, CRLF and blank lines", "t.tsv", {"t.tsv": lines.encode(encoding)}, PLAIN)

records = [{"file_name": path, "text": caption, "n": i} for i, (path, caption) in enumerate(TABLE)]
text = "\r\n\r\n".join(json.dumps(record) for record in records)
for encoding in ("utf-8", "utf-8-sig", "utf-16"):
    case(f"JSON lines: {encoding}, CRLF and blank lines", "t.jsonl", {"t.jsonl": text.encode(encoding)}, TABLE)
case("JSON lines: pandas, U+2028 in a text", "t.ndjson",
     {"t.ndjson": pd.DataFrame({"image": PATHS[:1], "caption": ["one\u2028line"]}).to_json(
         orient="records", lines=True, force_ascii=False).encode()}, [[PATHS[0], "one\u2028line"]])
case("JSON lines: several captions an image", "t.jsonl",
     {"t.jsonl": json.dumps({"image": "a.jpg", "captions": CAPTIONS}).encode()}, [["a.jpg", *CAPTIONS]])

for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
    case(f"Parquet: pyarrow, {codec}", "t.parquet",
         {"t.parquet": arrow(frame.to_dict("records"), compression=codec)}, TABLE)
case("Parquet: pyarrow, pages of version 2, no dictionary, two row groups", "t.parquet",
     {"t.parquet": arrow(frame.to_dict("records"), data_page_version="2.0", use_dictionary=False, row_group_size=2)}, TABLE)
case("Parquet: large strings and lists of captions", "t.parquet",
     {"t.parquet": arrow([{"path": "a.jpg", "captions": CAPTIONS}],
                         pa.schema([("path", pa.large_string()), ("captions", pa.list_(pa.string()))]))},
     [["a.jpg", *CAPTIONS]])
case("Parquet: images as Hugging Face's data sets have them", "t.parquet",
     {"t.parquet": arrow([{"image": {"bytes": RED, "path": "x.png"}, "text": CAPTIONS[0]},
                          {"image": {"bytes": None, "path": "sub/b.jpg"}, "text": CAPTIONS[1]},
                          {"image": None, "text": "none"}, {"image": {"bytes": BLUE, "path": None}, "text": None}])},
     [["red", CAPTIONS[0]], ["sub/b.jpg", CAPTIONS[1]], "no image", "no caption"])
with tempfile.TemporaryDirectory() as folder:
    for codec in ("UNCOMPRESSED", "SNAPPY"):
        path = Path(folder, f"{codec}.parquet")
        fastparquet.write(str(path), frame.astype({"filepath": object, "title": object}), compression=codec)
        case(f"Parquet: fastparquet, {codec.lower()}", "t.parquet", {"t.parquet": path.read_bytes()}, TABLE)

golden = {
    "images": {name: base64.b64encode(content).decode() for name, content in IMAGES.items()},
    "cases": cases,
}
path = Path(__file__).parents[1] / "golden/teach-data.json"
path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")
