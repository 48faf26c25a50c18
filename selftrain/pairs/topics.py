"""The word banks of the builtin pairs: what their sentences, lists, topics and languages are made of.

Data only. Kinds combine the items; `Draw.own` gives each combination to one split. Words that a checker looks
for (keywords, pronouns, topic words, tone words) must stay out of the clauses and tails; a test holds the banks to this.
"""

from __future__ import annotations

LANGUAGES = ("english", "french", "spanish", "german", "italian")


def _bank(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(","))


def _rows(text: str) -> tuple[dict[str, str], ...]:
    """Lines of `|`-separated translations, in the order of `LANGUAGES`."""
    return tuple(dict(zip(LANGUAGES, line.strip().split("|"), strict=True)) for line in text.strip().splitlines())


# A clause is "the ADJECTIVE NOUN" and an action. A noun belongs to one split, and with it all that is told of such a person.
ADJECTIVES = _bank("old, young, tall, quiet, busy, clever, tired, friendly, famous, careful, shy, brave")
NOUNS = _bank(
    """farmer, teacher, baker, painter, tailor, plumber, neighbor, student, writer, dancer, driver, guard, hunter, lawyer,
    singer, gardener, carpenter, merchant, librarian, waiter, actor, clerk, mechanic, postman, nurse, pilot, barber, tourist,
    detective, shepherd, judge, reporter, coach, poet, chemist, builder, guide, runner, potter, weaver, cobbler,
    inventor, widow, boxer, juggler, miner, banker, florist, jeweler, butler, monk, wizard, knight, beggar, scholar, sculptor,
    explorer, blacksmith, grocer, porter, translator, editor, historian, orphan, sheriff,
    magician, archer, watchman, maid, dentist"""
)
# Base form, past form, -ing form, object.
ACTIONS = tuple(
    (base, past, ing, obj)
    for base, past, ing, obj in (
        line.split(maxsplit=3)
        for line in _bank(
            """paint painted painting a wooden gate, carry carried carrying a heavy basket, read read reading a long letter,
            fix fixed fixing a broken chair, wash washed washing the dirty windows, sell sold selling a used bicycle,
            find found finding a silver coin, open opened opening a large box, build built building a small boat,
            draw drew drawing a funny map, plant planted planting a row of beans, feed fed feeding the hungry ducks,
            clean cleaned cleaning the dusty attic, bake baked baking a plain cake, write wrote writing a short poem,
            buy bought buying a warm coat, lose lost losing a leather glove, catch caught catching a green frog,
            cut cut cutting some dry wood, fold folded folding the white sheets, push pushed pushing a loaded cart,
            visit visited visiting a distant cousin, count counted counting the empty bottles, hide hid hiding a brass key,
            throw threw throwing a rubber ball, cook cooked cooking a simple soup, tie tied tying a loose rope,
            follow followed following a narrow path, climb climbed climbing a steep hill, watch watched watching an old movie,
            mend mended mending a torn shirt, order ordered ordering a cheap lamp, hang hung hanging a round mirror,
            polish polished polishing a pair of boots, pull pulled pulling a rusty nail, borrow borrowed borrowing a sharp knife,
            peel peeled peeling a ripe orange, steal stole stealing a gold ring, measure measured measuring the front door,
            guard guarded guarding a locked room, wrap wrapped wrapping a birthday gift, choose chose choosing a blue hat,
            repair repaired repairing the old clock, drop dropped dropping a full glass, ring rang ringing a loud bell,
            lift lifted lifting a flat stone, burn burned burning some old papers, pack packed packing a brown suitcase,
            test tested testing a new engine, fill filled filling a deep bucket, taste tasted tasting the cold milk,
            photograph photographed photographing a tiny spider, weigh weighed weighing a sack of flour,
            rent rented renting a quiet cabin, study studied studying a strange insect, sweep swept sweeping the back steps,
            trade traded trading a stamp, solve solved solving a hard puzzle, dig dug digging a deep hole,
            copy copied copying a secret recipe"""
        )
    )
)
TIMES = _bank(
    """before sunrise, on Monday, after lunch, last night, in the evening, every Friday, at noon, in early spring, on a rainy day,
    during the holiday, late at night, on Sunday morning"""
)
PLACES = _bank(
    """near the station, behind the barn, at the corner, beside the wall, in the village, by the roadside, outside the shop,
    under the roof, across the field, in the courtyard, along the fence, inside the hall"""
)
EXTRAS = _bank(
    """and then walked slowly home, and told nobody about it, and was very proud of it, and later did it again,
    and still had time to rest, and never said a word about it"""
)

KEYWORDS = _bank(
    """river, castle, bridge, tower, forest, candle, pillow, hammer, ladder, mountain, island, temple, tunnel, piano, garage,
    fountain, statue, palace, museum, harbor, orchard, volcano, desert, lantern, carpet, blanket, umbrella, elephant, tiger,
    camel, rabbit, turtle, penguin, monkey, rocket, tractor, camera, airport, stadium, factory, bakery, chapel, windmill, canyon,
    glacier, meadow, swamp, beehive, wagon, balcony, chimney, cottage, theater, market, subway, scarecrow, cactus, waterfall"""
)
NEAR = _bank("near the, next to the, close to the, far from the, in sight of the")
OPENINGS = (
    *("Good news:", "Dear friend,", "Once upon a time,", "Believe it or not,", "In short,", "To be honest,", "Guess what:"),
    *("Hello there,", "First of all,", "As you know,", "Listen:", "By the way,", "Long ago,", "Breaking news:", "In my view,"),
    *("Here we go:", "Without a doubt,", "Fun fact:", "Oddly enough,", "For the record,"),
)
ENDINGS = (
    *("Thank you.", "Good luck.", "The end.", "See you soon.", "That is all.", "Take care.", "Best wishes.", "Have fun."),
    *("What a day.", "Over and out.", "Stay safe.", "More tomorrow.", "So it goes.", "Enjoy your day.", "No more to say."),
    *("Yours truly.", "Cheers.", "Good night.", "Case closed.", "Warm regards."),
)
JSON_KEYS = _bank("event, note, text, title, story, message, summary, news, line, caption, log, report, fact, entry, answer, memo")
NAMES = _bank(
    """Anna, Ben, Clara, David, Emma, Felix, Greta, Hugo, Irene, Jack, Karen, Leo, Maria, Noah, Olga, Peter, Rosa, Simon, Tara,
    Victor, Wendy, Zoe"""
)
ITEMS = _bank("apples, books, coins, pens, stamps, shells, marbles, cards, eggs, buttons, balloons, cookies")
HEARD = _bank("heard that, saw that, noticed that, remembered that, believed that, found out that")
NUMBER_WORDS = _bank("two, three, four, five, six, seven, eight, nine, ten, eleven, twelve")
SPANS = _bank("days, hours, weeks, minutes, months, years")

CATEGORIES = {
    "fruits": _bank("apple, banana, cherry, grape, lemon, mango, melon, orange, peach, pear, plum, kiwi"),
    "tools": _bank("hammer, saw, drill, wrench, chisel, pliers, shovel, rake, axe, screwdriver, file, clamp"),
    "animals": _bank("lion, horse, goat, bear, wolf, zebra, camel, monkey, otter, fox, donkey, moose"),
    "colors": _bank("red, blue, green, yellow, purple, brown, black, white, gray, pink, silver, violet"),
    "countries": _bank("France, Japan, Brazil, Egypt, Canada, Norway, India, Kenya, Spain, Peru, Greece, Cuba"),
    "vegetables": _bank("carrot, onion, potato, spinach, cabbage, celery, pepper, leek, turnip, radish, pumpkin, broccoli"),
    "instruments": _bank("piano, violin, flute, guitar, drum, trumpet, harp, cello, oboe, banjo, clarinet, tuba"),
    "pieces of clothing": _bank("shirt, coat, hat, scarf, skirt, jacket, sock, glove, dress, sweater, belt, trousers"),
    "jobs": _bank("doctor, teacher, baker, lawyer, nurse, farmer, pilot, plumber, judge, barber, actor, tailor"),
    "flowers": _bank("rose, tulip, daisy, lily, orchid, iris, daffodil, sunflower, poppy, lavender, marigold, jasmine"),
    "vehicles": _bank("car, bus, truck, train, bicycle, plane, boat, tram, scooter, wagon, ferry, taxi"),
    "pieces of furniture": _bank("chair, table, sofa, bed, desk, shelf, stool, bench, cupboard, wardrobe, dresser, armchair"),
    "sports": _bank("tennis, soccer, golf, hockey, rugby, boxing, cricket, rowing, skiing, judo, fencing, karate"),
    "drinks": _bank("water, milk, tea, coffee, juice, cocoa, lemonade, cider, soda, wine, beer, cola"),
}

TOPIC_VERBS = _bank("looked at, turned to, stayed near, moved past, waited for, thought about, came back to, cared about")
# Agents; objects; places. No word but the little ones may serve two topics.
TOPICS = {
    name: tuple(_bank(part) for part in text.split(";"))
    for name, text in {
        "sea": """the sailor, a dolphin, the captain, a whale, the fisherman, a crab; the waves, a sailing ship, the tide,
            an anchor, some seashells, the lighthouse; on the beach, in the harbor, under the coral reef""",
        "kitchen": """the cook, a chef, the dishwasher, a waitress, the butcher, a taster; the oven, a frying pan, the soup pot,
            a spoon, some spices, the toaster; by the stove, at the sink, in the pantry""",
        "garden": """a gardener, a bee, the ladybug, a snail, the earthworm, a butterfly; the roses, a tulip, some weeds,
            the flower bed, a watering can, the hedge; on the lawn, among the daisies, beside the compost""",
        "space": """the astronaut, an alien, a stargazer, the cosmonaut, a robot, an astronomer; the moon, a distant planet,
            a comet, the satellite, a rocket, some meteors; in orbit, on Mars, beyond the galaxy""",
        "school": """the pupil, a teacher, the principal, a classmate, the tutor, a schoolboy; the homework, a blackboard,
            some exams, the lesson, a textbook, the chalk; in class, at recess, behind a desk""",
        "winter": """the skier, a snowman, the skater, a reindeer, a polar bear, the sledder; the snow, an icicle, some mittens,
            the frost, a sled, the blizzard; on the ice, in December, down the ski slope""",
        "music": """the violinist, a singer, the drummer, a pianist, the conductor, a guitarist; the melody, a trumpet, some songs,
            the choir, a cello, the rhythm; on stage, at the opera, in the orchestra""",
        "hospital": """the surgeon, a nurse, the patient, a doctor, the paramedic, a dentist; the bandage, some pills,
            a stethoscope, the wheelchair, an injection, the medicine; in the clinic, in the ambulance, at the pharmacy""",
        "football": """the goalkeeper, a striker, the referee, a defender, the midfielder, a mascot; the ball, a penalty kick,
            some fans, the trophy, a yellow card, the whistle; in the stadium, at halftime, on the pitch""",
        "traffic": """the driver, a cyclist, the motorist, a pedestrian, the trucker, a commuter; the bus, a taxi, some cars,
            the crosswalk, a red light, the horn; on the highway, at the intersection, in the tunnel""",
    }.items()
}
SMALL_WORDS = frozenset(_bank("a, an, the, some, of, in, on, at, by, under, among, beside, behind, beyond, down"))

TONES = {
    "happy": _bank("with great joy, and smiled all day, and could not stop laughing, full of delight, with a cheerful song"),
    "sad": _bank("with tears, and cried all evening, with a heavy heart, full of sorrow, and wept for hours"),
    "angry": _bank("in a rage, and shouted at everyone, full of fury, and yelled bitter insults, with clenched fists"),
    "calm": _bank("without any hurry, and breathed slowly, in complete peace, with gentle patience, and relaxed for a while"),
    "afraid": _bank("with shaking hands, and trembled with fear, in a panic, full of dread, and screamed in terror"),
}

# Verbs without an object and invariable in gender, so that every combination is a sentence in every language.
FOREIGN_SUBJECTS = _rows(
    """The cat|Le chat|El gato|Die Katze|Il gatto
    The dog|Le chien|El perro|Der Hund|Il cane
    The child|L'enfant|El niño|Das Kind|Il bambino
    The bird|L'oiseau|El pájaro|Der Vogel|L'uccello
    The teacher|Le professeur|El profesor|Der Lehrer|Il maestro
    The doctor|Le médecin|El médico|Der Arzt|Il medico
    My brother|Mon frère|Mi hermano|Mein Bruder|Mio fratello
    My mother|Ma mère|Mi madre|Meine Mutter|Mia madre
    My friend|Mon ami|Mi amigo|Mein Freund|Il mio amico
    The king|Le roi|El rey|Der König|Il re
    The girl|La fille|La niña|Das Mädchen|La ragazza
    The baker|Le boulanger|El panadero|Der Bäcker|Il fornaio
    The old man|Le vieil homme|El viejo|Der alte Mann|Il vecchio"""
)
FOREIGN_VERBS = _rows(
    """sleeps|dort|duerme|schläft|dorme
    eats|mange|come|isst|mangia
    sings|chante|canta|singt|canta
    works|travaille|trabaja|arbeitet|lavora
    waits|attend|espera|wartet|aspetta
    plays|joue|juega|spielt|gioca
    laughs|rit|ríe|lacht|ride
    runs|court|corre|läuft|corre
    cries|pleure|llora|weint|piange
    dances|danse|baila|tanzt|balla
    rests|se repose|descansa|ruht|riposa"""
)
FOREIGN_PLACES = _rows(
    """in the kitchen|dans la cuisine|en la cocina|in der Küche|in cucina
    in the garden|dans le jardin|en el jardín|im Garten|in giardino
    at school|à l'école|en la escuela|in der Schule|a scuola
    in the street|dans la rue|en la calle|auf der Straße|per strada
    near the house|près de la maison|cerca de la casa|neben dem Haus|vicino alla casa
    under the tree|sous l'arbre|debajo del árbol|unter dem Baum|sotto l'albero
    in the park|dans le parc|en el parque|im Park|nel parco
    on the beach|sur la plage|en la playa|am Strand|sulla spiaggia
    in the city|dans la ville|en la ciudad|in der Stadt|in città
    at the market|au marché|en el mercado|auf dem Markt|al mercato"""
)
