"""The words the model is taught: the names of every training class, and wider words over them."""

# Names of the 100 Tiny-ImageNet ID classes come from ImageNet's list; these are further ones.
TIN_SYNONYMS = {
    "goldfish": ["gold fish"], "fire salamander": ["salamander"], "American bullfrog": ["bullfrog"],
    "boa constrictor": ["boa"], "southern black widow": ["black widow spider"],
    "koala": ["koala bear"], "black stork": ["stork"], "Chihuahua": ["chihuahua dog"],
    "Yorkshire Terrier": ["terrier"], "Labrador Retriever": ["labrador"],
    "German Shepherd Dog": ["german shepherd"], "Standard Poodle": ["poodle"],
    "Egyptian Mau": ["house cat", "tabby", "kitten"], "cougar": ["puma", "mountain lion"],
    "ladybug": ["ladybird"], "fly": ["housefly"], "bee": ["honey bee"],
    "stick insect": ["walking stick insect"], "monarch butterfly": ["monarch"],
    "guinea pig": ["pet guinea pig"], "ox": ["cow", "cattle"], "bighorn sheep": ["ram", "sheep"],
    "arabian camel": ["camel", "dromedary"], "orangutan": ["ape"], "academic gown": ["graduate"],
    "bathtub": ["bath tub"], "beer bottle": ["bottle of beer"], "bow tie": ["bowtie"],
    "bucket": ["pail"], "automated teller machine": ["cash machine", "ATM"],
    "CD player": ["stereo"], "storage chest": ["chest", "trunk"],
    "Christmas stocking": ["stocking"], "computer keyboard": ["keyboard"],
    "gas mask or respirator": ["gas mask"], "go-kart": ["go kart", "kart"],
    "iPod": ["music player"], "lawn mower": ["lawnmower"], "miniskirt": ["skirt"],
    "metal nail": ["nail"], "pill bottle": ["medicine bottle"], "soda bottle": ["bottle of soda"],
    "punching bag": ["boxing bag"], "fishing casting reel": ["fishing reel"],
    "refrigerator": ["fridge"], "remote control": ["tv remote"], "space heater": ["heater"],
    "stopwatch": ["stop watch"], "sunglasses": ["pair of sunglasses"],
    "swim trunks / shorts": ["swim trunks", "shorts"], "teapot": ["tea pot"],
    "torch": ["flaming torch"], "volleyball": ["ball"], "water jug": ["jug", "pitcher"],
    "comic book": ["comic"], "ice cream": ["ice cream cone"], "bell pepper": ["pepper"],
    "orange": ["orange fruit"], "meatloaf": ["meat loaf"],
}

# Caltech-101 folders that show a Tiny-ImageNet ID class.
CALTECH_SAME = {"barrel": "barrel", "cougar_body": "cougar", "cougar_face": "cougar",
                "dragonfly": "dragonfly", "scorpion": "scorpion", "trilobite": "trilobite",
                "umbrella": "umbrella"}

# Never trained on: like a Tiny-ImageNet near-OOD class, a plant (flowers are an OOD set), or no class.
CALTECH_HELD_OUT = ["binocular", "bonsai", "brain", "cannon", "crocodile", "crocodile_head",
                    "elephant", "joshua_tree", "lamp", "lotus", "pizza", "saxophone", "sunflower",
                    "water_lilly"]
CALTECH_SKIPPED = ["BACKGROUND_Google"]

# Names of the other Caltech-101 folders, where the folder name is not what a person would type.
CALTECH_NAMES = {
    "airplanes": ["airplane", "aeroplane", "jet airliner", "plane"], "ant": ["ant"],
    "bass": ["bass fish"], "brontosaurus": ["brontosaurus", "long-necked dinosaur"],
    "buddha": ["buddha", "buddha statue"], "butterfly": ["butterfly"], "camera": ["camera"],
    "car_side": ["car", "side of a car", "automobile", "sedan"],
    "cellphone": ["cell phone", "mobile phone"], "chair": ["chair"], "crab": ["crab"],
    "cup": ["cup", "coffee cup", "mug", "cup of coffee", "tea cup"], "dalmatian": ["dalmatian"],
    "dollar_bill": ["dollar bill", "bank note"], "euphonium": ["euphonium", "tuba"],
    "ewer": ["ewer", "vase"], "Faces": ["face", "human face", "person's face"],
    "Faces_easy": ["face", "human face", "portrait of a person"], "ferry": ["ferry", "ship"],
    "flamingo_head": ["flamingo"],
    "garfield": ["garfield", "cartoon cat"], "gerenuk": ["gerenuk", "antelope"],
    "grand_piano": ["grand piano", "piano"], "hawksbill": ["sea turtle", "turtle"],
    "headphone": ["headphones", "headset"], "inline_skate": ["inline skate", "roller skate"],
    "ketch": ["ketch", "sailing boat", "sailboat"], "laptop": ["laptop", "notebook computer"],
    "Leopards": ["leopard"], "metronome": ["metronome"], "minaret": ["minaret", "tower"],
    "Motorbikes": ["motorbike", "motorcycle"], "pagoda": ["pagoda", "temple"],
    "revolver": ["revolver", "gun", "pistol"], "rhino": ["rhino", "rhinoceros"],
    "schooner": ["schooner", "tall ship"], "sea_horse": ["sea horse", "seahorse"],
    "soccer_ball": ["soccer ball", "football"], "stop_sign": ["stop sign", "road sign"],
    "watch": ["watch", "wrist watch"], "wheelchair": ["wheelchair", "wheel chair"],
    "wild_cat": ["wild cat", "wildcat"], "windsor_chair": ["windsor chair", "wooden chair"],
    "yin_yang": ["yin yang", "yin yang symbol"],
}

# Wider words and the class names below them (every name must be a first name of a class).
WIDER = {
    "cat": ["Egyptian Mau", "wild cat"],
    "big cat": ["cougar", "lion", "leopard"],
    "dog": ["Chihuahua", "Yorkshire Terrier", "Labrador Retriever", "German Shepherd Dog",
            "Standard Poodle", "dalmatian"],
    "bird": ["black stork", "emu", "flamingo", "ibis", "pigeon", "rooster"],
    "fish": ["goldfish", "bass fish"], "frog": ["American bullfrog", "tailed frog"],
    "snake": ["boa constrictor"], "spider": ["southern black widow", "tarantula"],
    "bear": ["brown bear"], "monkey": ["orangutan", "baboon"],
    "insect": ["ladybug", "fly", "bee", "grasshopper", "stick insect", "cockroach", "dragonfly",
               "ant", "mayfly"],
    "lobster": ["American lobster", "spiny lobster"], "dinosaur": ["brontosaurus", "stegosaurus"],
    "bottle": ["beer bottle", "pill bottle", "soda bottle"],
    "boat": ["ketch", "schooner", "ferry"],
    "fruit": ["orange", "pomegranate", "strawberry"],
    "food": ["guacamole", "ice cream", "pretzel", "mashed potatoes", "meatloaf"],
    "guitar": ["electric guitar"], "clothes": ["academic gown", "apron", "fur coat", "kimono",
                                               "miniskirt", "poncho", "swim trunks / shorts"],
}

# Caltech's lobster pictures do not say which kind: they carry the wider word alone.
CALTECH_WIDER_ONLY = {"lobster": "lobster"}
