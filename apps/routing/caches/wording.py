"""Words that carry no content of their own, and words that stand for one another: English, German, French, Spanish.

A word that is in no list is content. A list that lacks a word costs a hit; one that has a word too many could serve a
wrong answer. So they are short.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LIGHT = _words(
    # English
    "a an the this that these those of for in on at by with as is are be been being am do does done can could would "
    "might has have i me my mine we us our you it its there here and or if so please tell explain describe give show "
    "help know want need like let what which some any someone somebody something just really also simply simple terms "
    "word words detail details mean means meaning meant called possible between city from to get see "
    # German
    "ein eine einen einem einer eines der die das den dem des im am zum zur von vom ist sind sein wird werden "
    "kann können "
    "darf ich mir mich mein meine meinen meinem meiner du man wir uns es und oder wenn dass bitte erkläre erklären "
    "erklär sag zeige gib was welche welcher welches welchen welchem bedeutet bedeutung heißt begriff worten versteht "
    "gibt mal auch in auf für mit bei zu tun kannst hat haben habe sich zwischen worin stadt "
    # French
    "un une des le la les l d du de au aux à en dans sur pour par avec est sont être a ont je j me m mon ma mes "
    "moi tu te t toi on nous vous se s ce cet cette ces c qu que qui quel quelle quels quelles quoi peut peux puis et "
    "ou si stp svp merci explique expliquer donne donner dis dit signifie mot fait eu lieu entre ville "
    # Spanish
    "el los las lo uno unos unas del al es son ser estar está hay yo mi mis se que qué cuál cuáles puedo puede puedes "
    "pueden y o por favor explica explícame explicarme dame dar dime significa palabra tiene tienes tengo ciudad"
)

# What kind of answer is asked for. Those of one kind stand for one another; all others ask what.
ASKING = {
    **dict.fromkeys(("why", "reason", "warum", "weshalb", "wieso", "grund", "pourquoi", "raison"), "why"),
    **dict.fromkeys(("when", "year", "wann", "jahr", "quand", "année", "cuándo", "año", "date", "fecha"), "when"),
    **dict.fromkeys(("where", "wo", "wohin", "woher", "où", "dónde", "adónde"), "where"),
    **dict.fromkeys(("who", "whom", "whose", "wer", "wen", "wem", "wessen", "quién", "quiénes"), "who"),
    **dict.fromkeys(("many", "much", "viele", "viel", "combien", "cuánto", "cuánta", "cuántos", "cuántas"), "how much"),
    **dict.fromkeys(("how", "way", "procedure", "steps", "wie", "comment", "cómo"), "how"),
}
# At the beginning they ask for yes or no, unless the model itself is spoken to.
YES_OR_NO = _words(
    "is are am were do does did can could should will would has have had must may might shall "
    "ist sind war waren kann könnte darf soll sollte muss hat haben wird werden wurde est sont peut-on faut-il "
    "es son está están era puede pueden debe"
)
ADDRESS = _words("you du sie")

# Words that set the time: who is president is not who was.
TIMES = {
    **dict.fromkeys(("was", "were", "did", "had", "war", "waren", "wurde", "était", "étaient"), "past"),
    **dict.fromkeys(("era", "eran", "fue", "fueron", "hatte", "avait"), "past"),
    **dict.fromkeys(("will", "shall"), "future"),
}

NEGATIONS = _words(
    "not no never none nothing nobody neither nor cannot without unless except isnt nicht kein keine keinen keinem "
    "keiner nie niemals nichts niemand ohne außer weder ne n pas non sans jamais aucun aucune rien personne sauf ni "
    "sin "
    "nunca jamás nada nadie ningún ninguna excepto"
)

# Before and after such a word stand what is not to be exchanged.
DIRECTIONS = _words(
    "from into onto than before after towards against over under versus vs out off up down "
    "von vom nach aus ins vor gegen als über vers contre avant après depuis desde hacia hasta contra antes después"
)

# Verbs with which a plain “to” says from what into what.
CARRYING = _words("convert turn transform translate migrate copy move send switch change upgrade downgrade compare")

NUMBERS = {
    word: str(number)
    for number, words in enumerate(
        (
            "zero null zéro cero",
            "one once eins einmal",
            "two twice second zwei zweite deux deuxième dos segundo",
            "three third drei dritte trois troisième tres tercero",
            "four fourth vier vierte quatre quatrième cuatro cuarto",
            "five fifth fünf fünfte cinq cinquième cinco quinto",
            "six sixth sechs sechste sixième seis sexto",
            "seven seventh sieben siebte sept septième siete séptimo",
            "eight eighth acht achte huit huitième ocho octavo",
            "nine ninth neun neunte neuf neuvième nueve noveno",
            "ten tenth zehn zehnte dix dixième diez décimo",
            "eleven elf onze once",
            "twelve zwölf douze doce",
        )
    )
    for word in words.split()
}

_ALIKE = (
    "begin start",
    "buy purchase",
    "repair fix",
    "convert turn transform",
    "update change modify edit",
    "add invite",
    "author write wrote written writer",
    "population inhabitant inhabitants live",
    "quick quickly fast faster speed",
    "short brief",
    "picture image photo",
    "suggest recommend propose",
    "summarise summarize summary",
    "frequent frequently often",
    "differ difference differs differences",
    "new beginner",
    "einwohner einwohnerzahl",
    "autor schrieb geschrieben",
    "unterlagen dokumente",
    "unterschied unterscheiden",
    "auteur écrit",
    "autor escribió",
)
ALIKE = {word: group.split()[0] for group in _ALIKE for word in group.split()}

# What an inflected word may end with, longest first; one ending is taken off, never from a name.
ENDINGS = ("ern", "ing", "est", "ed", "en", "er", "es", "ar", "ir", "as", "os", "e", "n", "o", "s", "t")
