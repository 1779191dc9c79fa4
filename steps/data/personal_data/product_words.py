"""Words of catalogues that are also names of persons: "Amber Brown" is a colour, "Mary Jane" a shoe.

Folded (small letters, no accents), singular where the plural only adds an s. A word that stands here makes no
name by itself; behind "Mrs" or in a column called ``customer`` it may be one.
"""


def words(text: str) -> frozenset[str]:
    """The words of a text, each once."""
    return frozenset(text.split())


def phrases(text: str) -> frozenset[str]:
    """What stands between the commas of a text."""
    return frozenset(" ".join(phrase.split()) for phrase in text.split(","))


COLOURS = words("""
amber apricot aqua ash azure beige berry black blau blue blush bordeaux bronze brown burgundy camel caramel
charcoal cherry chocolate cobalt coffee copper coral cream crimson crystal cyan dark denim dust dusty ebony
ecru emerald forest fuchsia gelb ginger gold golden gray green grey grau gruen hazel heather honey hunter
indigo ivory jade khaki lavender lemon light lilac lime magenta marble marine maroon mauve melange midnight
mint misty mocha moss mustard navy nude ocean ochre off olive orange orchid peach pearl petrol pewter pink
plum powder purple raspberry red rosa rose rot royal ruby rust sage salmon sand sapphire scarlet schwarz
silver sky slate smoke steel stone sun sunset tan taupe teal terracotta tobacco turquoise vanilla violet
walnut weiss white wine yellow
""")

MATERIALS = words("""
acrylic alpaca angora bamboo baumwolle blend boucle brushed cashmere chambray chiffon corduroy cotton crepe
dobby elastane faux flannel fleece fur gore hemp jacquard jersey kid lace leather linen lyocell mesh merino
microfibre modal mohair neoprene nylon organic oxford polyamide polyester poplin rayon satin sequin
shearling silk spandex suede tencel tex tulle tweed twill velour velvet viscose wool wolle
""")

GARMENTS = words("""
ankle anorak apron backpack bag ballerina bandana beach beanie bell belt bermuda bib bikini blazer blouse
body bomber bow boot bootcut bootleg boxer boyfriend bra bracelet brief brogue buckle button cami camisole
cap cape capri cardigan cargo casual chain check chelsea chino classic cloak clog clutch coat collar corset
court crew crop cropped cuff culotte derby diesel double dress duffle dungaree earring espadrille fedora fit
flared flat flip flop floral frill gilet girl gloves glove gown gym hat heel hem henley high hood hooded
hoodie hose jacke jacket jean jegging jogger jumper jumpsuit kaftan kimono kleid knit kurta lady legging
loafer long longsleeve loose low maxi men mid midi mini mom moto mule neck necklace oversized overall
overcoat pack paisley panama pant pantie parka peplum pencil peter piece pinafore plaid playsuit pleat
plimsoll plus pocket polo poncho print pullover pump purse puffer pyjama quilted raglan rain regular ring
rock roll romper round sandal sarong satchel scarf schuh set shacket shift shirt shoe short shoulder ski
skinny skirt sleeve sleeveless slim slip slipper slouch smart smock sneaker snood sock soft spaghetti sport
stiletto straight strap stretch stripe striped suit sunglasses surf sweater sweatpant sweatshirt swimsuit
tank tapered tartan tassel tee thong tie tight top tote tracksuit trainer travel trench trouser trunk tube
tunic tuxedo turtle turtleneck umbrella underwear uniform vest vintage visor waist waistcoat wallet watch
wedge wellington wide wrap yoga zip zipper boy child children adult baby junior toddler unisex women woman
""")

COMMERCE = words("""
agency article back batch best black brand card care catalog catalogue christmas clearance clean code
collection company customer daily day deal delivery department design designer drop dry early easy edition
essential express fair favorite favourite featured festival final first free friday gift good great hand
holiday home house item last label limited line machine made main market member model monday new number
office offer old online only order original outlet page part pattern photo picture plain premium price pro
product quality ready refund return sale saturday season second sell seller series service ship shipping
shop signature size small large medium special spring summer autumn winter standard star stock store street
studio style sunday super sustainable team test thursday trade true tuesday type unit value vegan version
view wash warehouse water web wednesday weekend world year young ag anonymous bv co corp fashion foto
fotografie gmbh group inc kg limited llc ltd media none photography plc sa sarl se srl unknown vogue january
february march april may june july august september october november december air big city country cross
earth east fire heritage island lake modern moon mountain north park river roman sea snow south storm tour
urban valley west wild
""")

PLACES = words("""
africa amsterdam angeles antwerp asia athens atlanta australia austria barcelona beijing belgium berlin
boston brazil bristol brooklyn brussels california canada chicago china cologne copenhagen denmark diego
dublin edinburgh egypt egyptian england europe fiji finland florence florida france francisco germany
hamburg hawaii hong houston india ireland italy japan jersey kingdom kong las leeds lisbon london los lyon
madrid malibu manchester mexico miami milan montana munich netherlands nevada norway oslo paris philadelphia
poland porto portugal prague rio rome san santa savannah scotland seattle spain states stockholm sweden
sydney texas tokyo toronto turkey united utah vegas venice vienna wales washington york zurich
""")

FUNCTIONS = words("""
all any are as at be but das dem den der des die diese dieser dieses do each ein eine einen einer every few
for from has have he her his how ihr ihre if in is ist it its les make more most mehr my nach not nur our
please save she so some such sehr take thank that the their these they this those try une und unser unsere
very was we wear what when where which who will wir with you your
""")
"""Words that begin a sentence with a capital, and that the census has as names."""

WORDS = FUNCTIONS | COLOURS | MATERIALS | GARMENTS | COMMERCE | PLACES

PHRASES = frozenset({"mary jane", "stan smith", "chuck taylor", "air jordan", "prince charles", "peter pan"})
"""Things that are called like a person."""

BRANDS = phrases("""
abercrombie fitch, agnes b, alexander mcqueen, alexander wang, anne klein, armani, ben sherman,
betsey johnson, calvin klein, carolina herrera, christian dior, christian louboutin,
christian lacroix, coco chanel, diane von furstenberg, donna karan, dorothy perkins, dr martens,
eddie bauer, elie saab, emilio pucci, ermenegildo zegna, estee lauder, fred perry, gerry weber,
giorgio armani, gianni versace, harris tweed, helly hansen, hugo boss, isabel marant, jack jones,
jack wills, jack wolfskin, jean paul gaultier, jil sander, jimmy choo, karl lagerfeld, kate spade,
kenneth cole, kurt geiger, laura ashley, levi strauss, louis vuitton, marc cain, marc jacobs,
marc opolo, max mara, michael kors, miss selfridge, miu miu, nina ricci, oscar de la renta,
paco rabanne, paul smith, peter hahn, perry ellis, phillip lim, pierre cardin, ralph lauren, ray ban,
roberto cavalli, salvatore ferragamo, sam edelman, sonia rykiel, stella mccartney, steve madden,
stuart weitzman, ted baker, thomas sabo, tom ford, tom tailor, tommy bahama, tommy hilfiger,
tory burch, vera moda, vera wang, vero moda, victoria beckham, vivienne westwood, yves saint laurent
""")
"""Brands that are called like a person; the values of the allowed columns are known besides."""
