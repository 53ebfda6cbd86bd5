"""Cards about texts to be written. Drafts go from short to long."""

from __future__ import annotations

from simulator.corpus.card import Card

_PRICE_RISE = Card(
    cue=r"price (rise|increase|change)|raise (our|the) price|prices? (going|go) up|more expensive",
    title="Announcing a price rise to loyal customers",
    gist="Say the number in the first sentence, give one true reason, and thank them with something they can use.",
    points=(
        ("The number first", "whoever has to search for it stops trusting the rest."),
        ("One reason", "two sound like excuses."),
        ("A grace", "the old price for a while is worth more than three adjectives."),
        ("A way out", "name it yourself, kindly."),
    ),
    steps=(
        "State the new price and the date.",
        "Give the reason.",
        "Offer the grace.",
        "Say whom to write to.",
    ),
    drafts=(
        "**Subject: Your price changes on 1 March**\n\n"
        "Hello Sam,\n\n"
        "From 1 March your plan costs 12 a month instead of 10. Hosting has become dearer, and we "
        "would rather charge "
        "honestly than cut corners.\n\n"
        "Because you have been with us for years, your old price stays until September. You need not "
        "do anything.\n\n"
        "Thank you for staying.",
        "**Subject: A new price, and half a year of the old one for you**\n\n"
        "Dear Sam,\n\n"
        "on 1 March our monthly price goes from 10 to 12. For you it does not, until 1 September: you "
        "have paid us on time "
        "for four years, and that ought to count for something.\n\n"
        "The reason is plain. Storage and power cost us a fifth more than when we last set a price, "
        "and the things you asked "
        "for, backups every hour and a person on the phone on Saturdays, are now part of every plan.\n\n"
        "If 12 is not worth it to you, the small plan remains at 6, and the export button gives you "
        "everything you ever "
        "stored with us. I would be sorry, and I would understand.\n\n"
        "Write to me with questions. I read these myself.\n\n"
        "*Mira*",
        "**Subject: Our price goes up on 1 March. Yours does not, yet**\n\n"
        "Hello Sam,\n\n"
        "three facts, so that you need not look for them:\n\n"
        "1. The monthly price rises from 10 to 12 on **1 March**.\n"
        "2. You keep the old price until **1 September**, because you have been here since the beginning.\n"
        "3. You can leave, or take the small plan at 6, with one click and all your data.\n\n"
        "The reason is storage, which costs us a fifth more than it did. Nothing else changes.\n\n"
        "If one of these is wrong for you, answer this message. It reaches a person.\n\n"
        "*Mira*",
        "**Subject: We are raising our price, and why you will not notice until autumn**\n\n"
        "Dear Sam,\n\n"
        "I would rather you heard it from me than from an invoice: on 1 March our price rises from 10 "
        "to 12 a month.\n\n"
        "When you joined us there were three of us and one server under a desk. You wrote to us about "
        "a typo on the second "
        "day, and you have been right about most things since. So your price stays as it is until 1 "
        "September, and nothing "
        "about your account changes on the way there.\n\n"
        "What has changed is what it costs to do this properly. We now keep copies of your work in "
        "two cities, someone "
        "answers on Saturdays, and the lights cost what they cost. We looked for the two somewhere "
        "else and did not find "
        "it without taking away something that you use.\n\n"
        "Should it be too much, there is a smaller plan at 6, and there is a door: one button exports "
        "everything, and nobody "
        "will try to talk you out of pressing it.\n\n"
        "With thanks, and I mean it,\n\n"
        "*Mira*",
    ),
    pitfalls=("“We are excited to announce” has no place near a price.", "Do not hide the way out."),
    check="Read it aloud to someone who pays. If they ask “how much?”, the number comes too late.",
    verdict="Plain, early, and with a thank-you that costs you something.",
)

_APOLOGY = Card(
    cue=r"apolog|sorry|refund|complain|support repl|late delivery|outage",
    title="An apology that helps",
    gist="Say what happened, say what it did to them, say what you do about it. In that order, without “if”.",
    points=(
        ("Own it", "“we lost your order”, not “your order was lost”."),
        ("Name the harm", "it shows that you looked."),
        ("Mend it", "before they ask."),
    ),
    steps=(
        "One sentence for what happened.",
        "One for what it meant.",
        "One for the repair, with a date.",
        "Stop.",
    ),
    drafts=(
        "Hello Jo,\n\nwe sent your parcel to the wrong city, and you had nothing to give on Saturday. "
        "I am sorry.\n\n"
        "A new one is on its way and arrives tomorrow before noon. We have refunded the whole amount; "
        "keep the parcel.\n\n*Ines*",
        "Dear Jo,\n\n"
        "you ordered in good time, and we still let you stand there on Saturday with empty hands. One "
        "of our labels carried "
        "an old address, and nobody noticed until you told us. That is our mistake alone, and I am "
        "sorry for it.\n\n"
        "Your parcel leaves again today by courier and is with you tomorrow before noon. The money is "
        "already on its way "
        "back; please keep the parcel all the same. From this week on, a second person checks every "
        "label that was changed "
        "by hand.\n\n"
        "If there is anything else that would put it right, this address reaches me directly.\n\n*Ines*",
    ),
    pitfalls=("“If you felt inconvenienced” apologises for their feelings, not for your mistake.",),
    check="Cross out every sentence that is about you. What remains should still be a letter.",
    verdict="Short, specific, repaired.",
)

_POEM = Card(
    cue=r"\b(poem|haiku|verse|rhyme|sonnet|limerick)\b",
    title="A few lines",
    gist="One image, one turn, and no word that is only there for the rhyme.",
    points=(
        ("An image", "something one could photograph."),
        ("A turn", "the place where it becomes about something else."),
    ),
    steps=("Look at one thing.", "Wait until it means another.", "Leave out the explanation."),
    drafts=(
        "> The tide takes the name\n> I wrote for you in the sand,\n> and returns the sand.",
        "> The harbour light counts slowly up to four,\n> then rests, as if it had forgotten why;\n"
        "> the boats lean in and listen at the shore\n> for what the water says when it is dry.\n>\n"
        "> And I, who came to hear the weather told,\n> stay on to watch the patient light instead:\n"
        "> it does not warn, it only says: I hold\n> this place for you. The rest you knew, it said.",
        "> We planted beans the day the clocks went on,\n> my father with his string, I with the tin;\n"
        "> an hour, he said, is nothing once it's gone,\n> and pressed the thirty small black hours in.\n>\n"
        "> They climbed. By June the poles were out of sight,\n> a green arithmetic of leaf and air;\n"
        "> he never asked me whether I'd been right\n> to count them, or to count on being there.\n>\n"
        "> The tin is mine now, and the string, the spade,\n> the clock that nobody remembers how\n"
        "> to set. I plant them in the hour he made\n> by pushing at the ground. It's summer now.",
    ),
    pitfalls=("The first rhyme that comes to mind has come to everyone.",),
    check="Read it aloud, slowly. The line that embarrasses you is the one to cut.",
    verdict="Shorter is usually truer.",
)

_RELEASE_NOTE = Card(
    cue=r"release note|changelog|newsletter|product update|blog post",
    title="A release note people finish",
    gist="Lead with what they can do now, not with what you did.",
    points=(
        ("The reader's verb", "“You can now…”."),
        ("One picture", "or one example."),
        ("What may break", "in bold."),
    ),
    steps=(
        "List the changes.",
        "Delete those nobody would notice.",
        "Order the rest by how many people they touch.",
    ),
    drafts=(
        "**You can now ask several models at once.** Pick two or more above the message box; they "
        "answer side by side, and "
        "each column shows its time and its cost. Stopping one leaves the others alone.",
        "## Side by side\n\n"
        "**You can now put one question to several models and read the answers next to each other.** "
        "Choose them above the "
        "message box. Each column streams at its own pace and shows, quietly at its foot, how long it "
        "took and what it cost.\n\n"
        "- Stop one column and the others go on.\n"
        "- Continue with the one you liked; it remembers only its own words.\n"
        "- Export keeps the columns, in order.\n\n"
        "**What may surprise you:** a question to three models is three answers on the bill.",
    ),
    pitfalls=("“Various improvements” tells the reader that you did not look either.",),
    check="Ask someone after reading what they will try first. No answer, no release note.",
    verdict="Their verb, their order, your name at the bottom.",
)

CARDS = (_PRICE_RISE, _APOLOGY, _RELEASE_NOTE, _POEM)
