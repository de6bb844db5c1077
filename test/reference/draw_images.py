"""Draws random image files of every kind that the product reads as Pillow does; shared by the checks.

Every kind is a function (random, pixels uint8 [h, w, 3]) -> (file ending, bytes). What Pillow cannot write (16 bits a sample,
YCCK, palettes with a transparent colour in a GIF) is made by hand.
"""

import io
import random as random_module
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

PHOTOS = Path(__file__).resolve().parents[2] / "models" / "small" / "photos"
LARGEST = 2000
ORIENTATION = 0x0112
# A progressive JPEG must fit into Pillow's buffer, whose own guess is too small for noise of high quality.
ImageFile.MAXBLOCK = 1 << 25


def size(random: random_module.Random) -> tuple[int, int]:
    """1 to 2,000 a side, evenly over the scales; 6 % are strips, up to 1 x 2,000, for which the resize takes another order.

    No more than that: Pillow resizes a whole strip before it is cropped, and took nine tenths of all time when a quarter
    of the images were longer than 100 times their width.
    """
    if random.random() < 0.06:
        width = random.randint(1, 3)
        height = random.randint(30 * width, LARGEST)
        return (width, height) if random.random() < 0.5 else (height, width)
    while True:
        width, height = (round(LARGEST ** random.random()) for _ in range(2))
        if max(width, height) <= 100 * min(width, height):
            return width, height


def picture(random: random_module.Random, photos: list[Image.Image]) -> np.ndarray:
    """uint8 [h, w, 3]: a piece of a photo with shifted colours, noise, or only black and white (the filter's clamp)."""
    width, height = size(random)
    noise = np.random.default_rng(random.getrandbits(64))
    content = random.random()
    if content < 0.2:
        return noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if content < 0.3:
        return noise.integers(0, 2, (height, width, 3), dtype=np.uint8) * np.uint8(255)
    photo = random.choice(photos)
    side = random.randint(min(photo.size) // 4, min(photo.size))
    left, top = random.randint(0, photo.width - side), random.randint(0, photo.height - side)
    piece = photo.resize((width, height), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    pixels = np.asarray(piece).astype(np.int16)[:, :, random.sample(range(3), 3)]
    return (pixels + noise.integers(-8, 9, pixels.shape)).clip(0, 255).astype(np.uint8)


def load_photos() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]


# ---- files by Pillow ---------------------------------------------------------------------------------------------


def saved(image: Image.Image, form: str, random: random_module.Random, **options: object) -> bytes:
    """Half of the files that can say how they are to be turned say so."""
    if form in ("JPEG", "PNG", "WEBP", "TIFF") and random.random() < 0.5:
        exif = Image.Exif()
        exif[ORIENTATION] = random.randint(1, 8)
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def with_alpha(random: random_module.Random, pixels: np.ndarray) -> np.ndarray:
    """Alpha of all values, or of 0 and 255 only; the hidden colours stay."""
    noise = np.random.default_rng(random.getrandbits(64))
    alpha = noise.integers(0, 256, (*pixels.shape[:2], 1), dtype=np.uint8)
    if random.random() < 0.5:
        alpha = (alpha > 127) * np.uint8(255)
    return np.concatenate([pixels, alpha], 2)


def palette(random: random_module.Random, pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).quantize(random.choice([2, 3, 16, 17, 256]), dither=Image.Dither.NONE)


def jpeg(mode: str):
    def draw(random, pixels):
        options = {"quality": random.randint(1, 100), "progressive": random.random() < 0.4,
                   "optimize": random.random() < 0.3}
        if mode == "RGB":
            options["subsampling"] = random.choice(["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
        if random.random() < 0.2:
            options["restart_marker_blocks"] = random.randint(1, 9)
        if random.random() < 0.2:
            options["icc_profile"] = b"not a profile, and not to be used"
        return ".jpg", saved(Image.fromarray(pixels).convert(mode), "JPEG", random, **options)
    return draw


def adobe_jpeg(transform: int | None):
    """CMYK samples under another Adobe marker: 0 CMYK, 2 YCCK, None no marker at all."""
    def draw(random, pixels):
        ending, data = jpeg("CMYK")(random, pixels)
        start = data.index(b"\xff\xee\x00\x0eAdobe")
        marker = b"" if transform is None else data[start:start + 15] + bytes([transform])
        return ending, data[:start] + marker + data[start + 16:]
    return draw


def png(mode: str):
    def draw(random, pixels):
        if mode == "P":
            image = palette(random, pixels)
        elif mode in ("RGBA", "LA"):
            image = Image.fromarray(with_alpha(random, pixels)).convert(mode)
        else:
            image = Image.fromarray(pixels).convert(mode)
        options = {}
        if mode in ("P", "L", "RGB") and random.random() < 0.5:
            first = image.getpixel((0, 0))
            alphas = bytes(random.randrange(256) for _ in range(random.randint(1, 2)))
            options["transparency"] = random.choice([first, alphas]) if mode == "P" else first
        return ".png", saved(image, "PNG", random, **options)
    return draw


def gif(random, pixels):
    """A plain or interlaced GIF, with a transparent colour in half of them, and sometimes further frames."""
    image = palette(random, pixels)
    options = {"interlace": random.random() < 0.5}
    if random.random() < 0.5:
        options["transparency"] = image.getpixel((image.width // 2, image.height // 2))
    if random.random() < 0.3:
        options |= {"save_all": True, "append_images": [palette(random, pixels[::-1].copy())], "duration": 40}
    return ".gif", saved(image, "GIF", random, **options)


def tiff(mode: str):
    def draw(random, pixels):
        image = palette(random, pixels) if mode == "P" else Image.fromarray(pixels).convert(mode)
        if mode in ("RGBA", "LA"):
            image = Image.fromarray(with_alpha(random, pixels)).convert(mode)
        compressions = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]
        if mode == "1":
            compressions += ["group3", "group4"]
        if mode in ("L", "RGB"):
            compressions += ["jpeg"]
        return ".tif", saved(image, "TIFF", random, compression=random.choice(compressions))
    return draw


def webp(lossless: bool, mode: str):
    def draw(random, pixels):
        image = Image.fromarray(with_alpha(random, pixels) if mode == "RGBA" else pixels)
        options = {"quality": random.randint(1, 100), "lossless": lossless, "method": random.randint(0, 3),
                   "exact": random.random() < 0.5}
        return ".webp", saved(image, "WEBP", random, **options)
    return draw


# ---- files by hand -----------------------------------------------------------------------------------------------


def png_of_16_bits(colour_type: int):
    """PNG specification 11.2: 2 RGB, 4 grey with alpha, 6 RGBA, 0 grey; the high bytes are the picture."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]

    def draw(random, pixels):
        height, width, _ = pixels.shape
        high = np.concatenate([pixels, pixels[:, :, :1]], 2)[:, :, :channels].astype(np.uint16)
        low = np.random.default_rng(random.getrandbits(64)).integers(0, 256, high.shape, dtype=np.uint16)
        rows = (high << 8 | low).astype(">u2").reshape(height, -1)
        data = b"".join(b"\0" + row.tobytes() for row in rows)

        def chunk(name: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

        header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
        chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 1)) + chunk(b"IEND", b"")
        return ".png", b"\x89PNG\r\n\x1a\n" + chunks
    return draw


def tiff_of_16_bits(channels: int, photometric: int):
    """TIFF 6.0, one strip, not compressed; photometric 2 RGB, 5 CMYK."""
    def draw(random, pixels):
        height, width, _ = pixels.shape
        order = random.choice("<>")
        high = np.concatenate([pixels, pixels[:, :, :1]], 2)[:, :, :channels].astype(np.uint16)
        low = np.random.default_rng(random.getrandbits(64)).integers(0, 256, high.shape, dtype=np.uint16)
        data = (high << 8 | low).astype(f"{order}u2").tobytes()
        data += b"\0" * (len(data) % 2)
        bits_at = 8 + len(data)
        entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits_at), (259, 3, 1, 1),
                   (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, height),
                   (279, 4, 1, len(data)), (284, 3, 1, 1)]
        bits = struct.pack(f"{order}{channels}H", *[16] * channels)
        table = struct.pack(f"{order}H", len(entries))
        for tag, kind, count, value in entries:
            # A single short lies in the first half of its field.
            body = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
            table += struct.pack(f"{order}HHI", tag, kind, count) + body
        head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, bits_at + len(bits))
        return ".tif", head + data + bits + table + struct.pack(f"{order}I", 0)
    return draw


KINDS = {
    "JPEG RGB": jpeg("RGB"), "JPEG grey": jpeg("L"), "JPEG CMYK": jpeg("CMYK"), "JPEG YCCK": adobe_jpeg(2),
    "JPEG CMYK without Adobe marker": adobe_jpeg(None),
    "PNG RGB": png("RGB"), "PNG grey": png("L"), "PNG 1-bit": png("1"), "PNG palette": png("P"), "PNG RGBA": png("RGBA"),
    "PNG grey with alpha": png("LA"), "PNG RGB of 16 bits": png_of_16_bits(2),
    "PNG RGBA of 16 bits": png_of_16_bits(6), "PNG grey with alpha of 16 bits": png_of_16_bits(4),
    "GIF": gif,
    "TIFF RGB": tiff("RGB"), "TIFF grey": tiff("L"), "TIFF 1-bit": tiff("1"), "TIFF palette": tiff("P"),
    "TIFF RGBA": tiff("RGBA"), "TIFF grey with alpha": tiff("LA"), "TIFF CMYK": tiff("CMYK"),
    "TIFF RGB of 16 bits": tiff_of_16_bits(3, 2), "TIFF CMYK of 16 bits": tiff_of_16_bits(4, 5),
    "WebP lossy": webp(False, "RGB"), "WebP lossy with alpha": webp(False, "RGBA"), "WebP lossless": webp(True, "RGB"),
    "WebP lossless with alpha": webp(True, "RGBA"),
}
COMMON = ["JPEG RGB"] * 8  # so that every subsampling meets every remainder of a size


def draw_files(count: int, seed: int, folder: Path) -> list[tuple[str, Path]]:
    """Writes `count` files; (kind, path) of each. Every image has a seed of its own, so that one can be drawn alone."""
    photos = load_photos()
    files = []
    for i in range(count):
        random = random_module.Random(f"{seed} {i}")
        kind = random.choice([*KINDS, *COMMON])
        ending, data = KINDS[kind](random, picture(random, photos))
        path = folder / f"{i:04}{ending}"
        path.write_bytes(data)
        files.append((kind, path))
    return files
