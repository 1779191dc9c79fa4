"""Planted personal data, the same for the same seed: what the detectors have to find, and what they must not.

Written by hand from how people write such things, not from the detectors' lists: formats of many countries,
names of many languages. The benchmark of the dataset plants the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from steps.data.personal_data.columns import scan_columns
from steps.data.personal_data.pictures import Box

Pixels = NDArray[np.uint8]

EMAIL_LOCALS = (
    "anna.mueller", "j.smith+orders", "li_wei", "o'connor", "m.k", "info", "jürgen.groß", "first-last",
    "x99", "sales&support", "maria.da.silva", "BOSS", "kundin_42", "søren", "a.b.c.d", "no-reply",
    "zoë+summer-sale", "{ticket}", "shop=de", "привет",
)  # fmt: skip
EMAIL_DOMAINS = (
    "example.com", "mail.example.co.uk", "müller-mode.de", "gmail.com", "web.de", "post.example.museum",
    "sub-domain.example.org", "EXAMPLE.NET", "laposte.net", "bücher.example", "shop.example.com.br",
    "studio42.io", "xn--mller-kva.example", "example.photography", "ünï.example.eu", "почта.example",
)  # fmt: skip
EMAIL_TEXTS = (
    "{}", "{}", "{}", "contact {} please", "<{}>", "mailto:{}", "Foto: {}, Berlin", "write to {}.", "({})",
    "owner={};size=M", "returned by\t{}\n", "{}, second@example.org", "\"{}\"", "e-mail:{}",
)  # fmt: skip

PHONE_FORMATS = (  # "#" is any digit; what is fixed is a prefix that its country gave out
    "+49 171 #######", "+49 (0)171 #######", "0171 #######", "0171/#######", "0171-#######", "030 23125###",
    "(030) 23125 ###", "+49 30 2312 5###", "0049 171 #######", "0160 9#######", "089 / 12 34 5# ##",
    "+1 (212) 555-01##", "+1 415 555 26##", "(415) 555-26##", "415-555-26##", "415.555.26##",
    "1-415-555-26##", "+141555526##", "+1-646-555-01## ext. ##", "(312) 555-26## x1##", "212 555 01##",
    "+44 20 7946 0###", "020 7946 0###", "(020) 7946 0###", "+44 7700 900###", "07700 900###",
    "+447700900###", "0044 20 7946 0###", "0161 496 0###", "+44 (0)20 7946 0###", "+33 6 12 34 5# ##",
    "06 12 34 5# ##", "06.12.34.5#.##", "+336123459##", "01 42 68 53 ##", "+33 (0)1 42 68 53 ##",
    "+34 612 34 5# ##", "612 34 5# ##", "+34 912 345 ###", "+39 06 6982 ####", "+39 347 123 45##",
    "347 123 45##", "+31 6 12345###", "06-12345###", "020-62345##", "+43 664 12345##", "0664 12345##",
    "+41 79 123 4# ##", "079 123 4# ##", "+48 512 345 ###", "512 345 ###", "+46 70 123 4# ##",
    "+45 32 12 3# ##", "+47 412 34 ###", "+358 40 12345##", "+353 87 123 4###", "+351 912 345 ###",
    "+32 470 12 3# ##", "+420 601 234 ###", "+30 691 234 5###", "+90 532 123 4# ##", "+7 912 345-6#-##",
    "+81 90-1234-5###", "+86 138 1234 5###", "+91 98765 432##", "+55 11 91234-5###", "+52 55 1234 5###",
    "+61 412 345 ###", "+27 82 123 45##", "+972 50-123-45##", "+971 50 123 45##", "+65 9123 45##",
    "+234 803 123 45##", "tel:+49309018##",
)  # fmt: skip
PHONE_TEXTS = (
    "{}", "{}", "{}", "Tel. {}", "call {} after six", "phone: {}", "Anna, {}, Berlin", "WhatsApp {}!",
    "({})", "mobile={};size=M", "Rückfragen: {}", "{} (office)", "order 4711, {}",
)  # fmt: skip

PERSONS = (
    "Anna Schmidt", "Jürgen Groß", "Lukas Weiß", "Katharina von Bülow", "Maximilian Hoffmann",
    "Björn Krüger", "John Smith", "Mary-Ann O'Connor", "William J. Carter", "Emily Watson",
    "Patrick McDonald", "Olivia Bennett", "Jean-Luc Moreau", "Chloé Lefèvre", "Amélie Dubois",
    "Étienne Girard", "François Dupont", "María José García", "Alejandro Fernández", "Lucía Hernández",
    "João Pereira", "Beatriz da Silva", "Giuseppe Esposito", "Francesca Romano", "Alessandro Ricci",
    "Sofie van den Berg", "Pieter de Vries", "Søren Nielsen", "Åsa Lindström", "Ingrid Johansson",
    "Kjell Haugen", "Björk Guðmundsdóttir", "Zbigniew Kowalski", "Agnieszka Nowak", "Jiří Novák",
    "Zsófia Nagy", "Andrei Popescu", "Dimitris Papadopoulos", "Ayşe Yılmaz", "Mehmet Öztürk", "Olga Petrova",
    "Dmitri Ivanov", "Fatima Al-Sayed", "Mohammed Hassan", "Priya Sharma", "Rajesh Patel", "Nguyễn Văn An",
    "Li Wei", "Yuki Tanaka", "Kwame Mensah", "Chinedu Okafor", "Thandiwe Nkosi", "Siobhán Kelly",
    "Rhys Llewellyn", "Ji-woo Park", "Leilani Kealoha",
)  # fmt: skip
WELL_KNOWN = (  # written down after the word lists were finished; none of them was added there
    "Angela Merkel", "Emmanuel Macron", "Olaf Scholz", "Giorgia Meloni", "Pedro Sánchez", "Donald Tusk",
    "Viktor Orbán", "Recep Tayyip Erdoğan", "Narendra Modi", "Shinzo Abe", "Xi Jinping", "Cyril Ramaphosa",
    "Nelson Mandela", "Wangari Maathai", "Chimamanda Adichie", "Malala Yousafzai", "Greta Thunberg",
    "Jacinda Ardern", "Justin Trudeau", "Marie Curie", "Albert Einstein", "Niels Bohr", "Ada Lovelace",
    "Lionel Messi", "Kylian Mbappé", "Novak Djokovic", "Iga Świątek", "Zinedine Zidane", "Sadio Mané",
    "Mohamed Salah", "Shohei Ohtani", "Usain Bolt", "Simone Biles", "Yuja Wang", "Hayao Miyazaki",
    "Pedro Almodóvar", "Agnès Varda", "Ingmar Bergman", "Lars von Trier", "Ursula von der Leyen",
    "Christine Lagarde", "Mario Draghi", "António Guterres", "Ban Ki-moon", "Kofi Annan", "Sanna Marin",
    "Mette Frederiksen", "Volodymyr Zelenskyy", "Maia Sandu", "Zuzana Čaputová",
)  # fmt: skip
PERSON_TEXTS = (
    "called {} about the size", "returned by {}", "{} wants it in red", "Photo: {}",
    "picked up by {} on Monday", "bitte an {} schicken", "Kundin {} hat angerufen", "Dear {}, thank you",
    "please ask {} first", "photographié par {}", "reserved for {}", "a gift for {}, wrapped",
    "Mrs. {} complained", "{} ordered two", "Herr {} zahlt später", "worn by our model {}",
)  # fmt: skip
PERSON_COLUMNS = ("photographer", "customer_name", "Author", "contact person", "Kunde")

PLANTED_TEXTS = (
    "Anna Schmidt", "Lot 4471", "07700 900123", "anna@web.de", "SALE 50%", "Order 99213", "Berlin",
    "Studio 7", "John Smith", "Main Street 12", "www.shop.de", "MADE IN ITALY", "DOB 12.04.1988",
    "Customer 8812", "B-MW 4711", "Confidential", "Return to sender", "Dubois", "Passport", "Room 204",
    "Invoice 2024", "call me", "Dr. Weber", "IBAN DE89", "2024-11-28",
)  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A picture ``(h, w, 3)``, uint8, and where its planted part lies: left, top, width, height."""

    image: Pixels
    box: tuple[int, int, int, int]


def emails(count: int, seed: int = 0) -> list[str]:
    """Texts that hold one e-mail address each, or more."""
    draw = np.random.default_rng(seed)
    return [
        str(draw.choice(EMAIL_TEXTS)).format(f"{draw.choice(EMAIL_LOCALS)}@{draw.choice(EMAIL_DOMAINS)}")
        for _ in range(count)
    ]


def phones(count: int, seed: int = 0) -> list[str]:
    """Texts that hold one phone number each; the first ``len(PHONE_FORMATS)`` have a format of their own."""
    draw = np.random.default_rng(seed)
    texts = []
    for number in range(count):
        shape = PHONE_FORMATS[number % len(PHONE_FORMATS)]
        digits = "".join(str(draw.integers(10)) if sign == "#" else sign for sign in shape)
        texts.append(str(draw.choice(PHONE_TEXTS)).format(digits))
    return texts


def persons(count: int, seed: int = 0, names: tuple[str, ...] = PERSONS) -> list[str]:
    """Names of persons of many languages, each once while they last."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(names))
    return [names[order[number % len(order)]] for number in range(count)]


def person_texts(count: int, seed: int = 0, names: tuple[str, ...] = PERSONS) -> list[str]:
    """Sentences with a person's name in each; no column's name helps to find it."""
    draw = np.random.default_rng(seed)
    return [str(draw.choice(PERSON_TEXTS)).format(name) for name in persons(count, seed, names)]


BRANDS = (
    "Diesel", "Tom Tailor", "Calvin Klein Jeans", "Jack & Jones", "Tommy Hilfiger", "Esprit", "Hugo Boss",
    "Levi's", "Vero Moda", "Ralph Lauren", "Mango", "Marc O'Polo", "Scotch & Soda", "Paul Smith",
    "Ted Baker", "Superdry", "Michael Kors", "Karl Lagerfeld", "Dr. Martens", "Helly Hansen", "Fred Perry",
    "Jack Wolfskin", "Max Mara", "Stella McCartney", "Dorothy Perkins", "Miss Selfridge", "Calvin Klein",
    "Nike", "Gerry Weber", "Kate Spade",
)  # fmt: skip
COLOURS = (
    "Navy Blue", "Rose Gold", "Forest Green", "Charcoal Grey", "Ivory", "Burgundy", "Royal Blue",
    "Olive Green", "Dusty Rose", "Amber Brown", "Ruby Red", "Jade", "Sand", "Crystal White", "Hunter Green",
    "Cherry", "Midnight", "Heather Grey", "Violet", "Sky Blue", "Scarlet", "Autumn Leaf", "Misty Rose",
    "Coral",
)  # fmt: skip
MATERIALS = (
    "Cotton", "Merino Wool", "100% Cotton", "Silk Satin", "Denim", "Linen Blend",
    "80% Cotton, 20% Polyester", "Faux Leather", "Cashmere", "Jersey", "Viscose", "Suede", "Lyocell",
    "Alpaca", "Kid Mohair", "Egyptian Cotton",
)  # fmt: skip
GARMENTS = (
    "Slim Fit Jeans", "Mary Jane Shoes", "Chelsea Boots", "Henley Shirt", "Peter Pan Collar Blouse",
    "Bermuda Shorts", "Oxford Shirt", "Bomber Jacket", "Maxi Dress", "Polo Shirt", "Crew Neck Sweater",
    "Trench Coat", "Pencil Skirt", "Ankle Boot", "Tote Bag", "Wrap Dress", "Cargo Trousers",
    "Raglan Sweatshirt", "Prince Charles Check Blazer", "Jersey Dress", "Duffle Coat", "Hooded Parka",
    "Derby Shoe", "Bell Sleeve Top", "Harris Tweed Jacket",
)  # fmt: skip
SIZES = ("S", "M", "L", "XL", "36", "38/40", "W32/L34", "EU 42", "UK 8.5", "10-12 years", "32-34", "One Size")
NOTES = (
    "New York collection", "Made in Italy", "Machine wash at 30", "Spring Summer 2024", "Black Friday deal",
    "Best Seller", "Limited Edition", "Regular Fit", "Free Shipping", "Los Angeles store",
    "San Francisco warehouse", "Back in stock", "Water repellent", "As seen in Vogue", "Only online",
    "Hong Kong", "From our Paris Studio", "Model wears size M", "Style 4711-2024",
    "Pack of 3, 12.5 cm x 8.0 cm", "10.000 sold", "batch 2024/11/0042", "1.299,00 EUR", "v2.0.1",
)  # fmt: skip


def catalogue(rows: int, seed: int = 0) -> pd.DataFrame:
    """A product catalogue without any personal data, in columns of text."""
    draw = np.random.default_rng(seed)

    def some(values: tuple[str, ...]) -> list[str]:
        return [str(value) for value in draw.choice(values, rows)]

    brands, colours, garments = some(BRANDS), some(COLOURS), some(GARMENTS)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 30_000_000, rows), unit="s")
    codes = [_code(number, int(value)) for number, value in enumerate(draw.integers(0, 10**8, rows))]
    eans = [_ean(str(digits)) for digits in draw.integers(10**11, 10**12 - 1, rows)]
    frame = pd.DataFrame({
        "sku": codes,
        "ean": eans,
        "gtin_text": [f"{ean[0]} {ean[1:7]} {ean[7:]}" for ean in eans],
        "price": [f"{value:,.2f}" for value in draw.uniform(1, 9000, rows)],
        "price_text": [f"{value:.2f} EUR".replace(".", ",") for value in draw.uniform(1, 900, rows)],
        "brand": brands,
        "colour": colours,
        "material": some(MATERIALS),
        "size": some(SIZES),
        "title": [" ".join(parts) for parts in zip(brands, garments, colours, strict=True)],
        "product_name": [" in ".join(parts) for parts in zip(garments, colours, strict=True)],
        "note": some(NOTES),
        "captured_at": times.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updated": times.strftime("%d.%m.%Y %H:%M"),
        "epoch": [str(int(time.timestamp())) for time in times],
        "file": [f"IMG_{time:%Y%m%d_%H%M%S}@2x.jpg" for time in times],
        "dimensions": [f"{a} x {b} x {c} mm" for a, b, c in draw.integers(10, 2000, (rows, 3))],
        "position": [f"{a:.6f}, {b:.6f}" for a, b in draw.uniform(-90, 90, (rows, 2))],
        "address_ip": [".".join(map(str, four)) for four in draw.integers(1, 255, (rows, 4))],
        "digest": [draw.bytes(16).hex() for _ in range(rows)],
    })  # fmt: skip
    return frame.astype(pd.StringDtype("pyarrow"))


def _code(number: int, value: int) -> str:
    """An article number, in one of five shapes by turns."""
    shapes = (
        f"SKU-{value:08d}",
        f"{value % 1000:03d}-{value % 997:03d}-{value % 9973:04d}",
        f"{value:010d}",
        f"{value % 90000 + 10000}",
        f"A{value % 1000}.{value % 10000:04d}.{value % 100:02d}",
    )
    return shapes[number % len(shapes)]


def _ean(digits: str) -> str:
    """Twelve digits with their check digit."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def photograph(name: str) -> Pixels:
    """One of scikit-image's, ``(h, w, 3)``, RGB."""
    from skimage import data

    pixels: Pixels = getattr(data, name)()
    return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, 2)


def backgrounds(count: int, seed: int = 0, side: int = 256) -> list[Pixels]:
    """Photographs of things (scikit-image's), gradients and noise, ``side`` pixels high; no face, no text."""
    draw = np.random.default_rng(seed)
    photographs = [photograph(name) for name in ("coffee", "chelsea", "grass", "gravel")]
    pictures = []
    for number in range(count):
        width = int(side * draw.uniform(0.75, 1.4))
        kind = number % 3
        if kind == 0:
            shown = photographs[number // 3 % len(photographs)]
            height, full = shown.shape[:2]
            part = int(min(height, full) * draw.uniform(0.5, 0.95))
            top, left = int(draw.integers(height - part)), int(draw.integers(full - part))
            image = Image.fromarray(shown[top : top + part, left : left + part]).resize((width, side))
        else:
            corners = draw.integers(0, 256, (2, 2, 3)).astype(np.uint8)
            image = Image.fromarray(corners).resize((width, side), Image.Resampling.BILINEAR)
        pixels = np.asarray(image).astype(float)
        if kind == 2:
            pixels = pixels + draw.normal(0, 12, pixels.shape)
        pictures.append(np.clip(pixels, 0, 255).astype(np.uint8))
    return pictures


def faces(count: int, seed: int = 0, under: list[Pixels] | None = None) -> list[Planted]:
    """Faces of Labelled Faces in the Wild, tinted, turned up to 12°, 48 to 150 pixels wide, on pictures."""
    from skimage import data

    draw = np.random.default_rng(seed)
    portraits = (getattr(data, "lfw_subset")()[:100] * 255).astype(np.uint8)  # noqa: B009 - it has no types
    order = draw.permutation(len(portraits))
    planted = []
    for number, ground in enumerate(under or backgrounds(count, seed)):
        side = int(draw.integers(48, 150))
        portrait = Image.fromarray(portraits[order[number % len(order)]]).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        tint = np.array([1.0, draw.uniform(0.8, 0.95), draw.uniform(0.65, 0.9)]) * draw.uniform(0.75, 1.15)
        tinted = np.clip(np.asarray(portrait)[..., None] * tint, 0, 255).astype(np.uint8)
        mask = Image.new("L", (side, side), 255)
        angle = draw.uniform(-12, 12)
        turned = Image.fromarray(tinted).rotate(angle, Image.Resampling.BICUBIC)
        mask = mask.rotate(angle).filter(ImageFilter.GaussianBlur(1))
        planted.append(_pasted(ground, turned, mask, draw))
    return planted


def texts(count: int, seed: int = 0, under: list[Pixels] | None = None) -> list[Planted]:
    """Words in Pillow's own font, 16 to 44 pixels high, turned up to 30°, a tenth by 90°, legible."""
    draw = np.random.default_rng(seed)
    planted = []
    for number, ground in enumerate(under or backgrounds(count, seed)):
        words = PLANTED_TEXTS[number % len(PLANTED_TEXTS)]
        height, width = ground.shape[:2]
        size = int(draw.integers(16, 45))
        angle = 90.0 if number % 10 == 9 else float(draw.choice([0, 0, draw.uniform(-30, 30)]))
        while True:
            font = ImageFont.load_default(size=size)
            left, top, right, bottom = (round(edge) for edge in font.getbbox(words))
            ink = Image.new("L", (right - left + 4, bottom - top + 4))
            ImageDraw.Draw(ink).text((2 - left, 2 - top), words, fill=255, font=font)
            ink = ink.rotate(angle, Image.Resampling.BICUBIC, expand=True)
            if ink.width < width and ink.height < height:
                break
            size -= 2
        bright = float(ground.mean()) > 127  # legible: far from what is under it
        colour = draw.integers(0, 60, 3) if bright else draw.integers(195, 256, 3)
        solid = Image.new("RGB", ink.size, (int(colour[0]), int(colour[1]), int(colour[2])))
        planted.append(_pasted(ground, solid, ink, draw))
    return planted


def _pasted(ground: Pixels, part: Image.Image, mask: Image.Image, draw: np.random.Generator) -> Planted:
    picture = Image.fromarray(ground)
    left = int(draw.integers(picture.width - part.width))
    top = int(draw.integers(picture.height - part.height))
    picture.paste(part, (left, top), mask)
    return Planted(np.asarray(picture), (left, top, part.width, part.height))


def frame_of(values: list[str], column: str = "note") -> pd.DataFrame:
    """One column of text."""
    return pd.DataFrame({column: pd.Series(values, dtype=pd.StringDtype("pyarrow"))})


def found_alone(values: list[str], kind: str, column: str = "note") -> int:
    """How many values are found when each is the only one of its column: no neighbour helps."""
    findings = [scan_columns(frame_of([value], column)) for value in values]
    return sum(any(finding.kind == kind for finding in each) for each in findings)


def hit(found: list[Box], box: tuple[int, int, int, int]) -> bool:
    """Whether a found box covers a quarter of the planted one."""
    left, top, width, height = box
    return any(
        max(0, min(left + width, each.left + each.width) - max(left, each.left))
        * max(0, min(top + height, each.top + each.height) - max(top, each.top))
        > width * height / 4
        for each in found
    )
