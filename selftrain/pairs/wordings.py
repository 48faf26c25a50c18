"""How the instructions of the builtin pairs are put into words: training templates and held-out ones.

A template has the fields its kind's draw fills, and `{req}`: the requirement itself, or a phrase for it (`phrases`). Held-out
templates are read by the split `wording` alone (and by `unseen`, whose kinds never train). Data only.
"""

from __future__ import annotations

from selftrain.pairs.phrases import Worded


def _worded(text: str) -> Worded:
    """One a line, then a line of dashes, then the held-out ones."""
    lines = [line.strip() for line in text.strip().splitlines()]
    cut = lines.index("---")
    return Worded(tuple(lines[:cut]), tuple(lines[cut + 1 :]))


TEMPLATES = {
    "letter_case": _worded(
        """Write about {about} in {req}.
        Say in {req} that {fact}.
        What did {about} do? Use only {req}.
        Tell me about {about}. Write in {req}.
        In {req}, tell me that {fact}.
        Write a sentence about {about} in {req}.
        ---
        Everything you type must be in {req}. Describe {about}.
        Report that {fact}, and keep to {req}.
        Reply about {about} using {req} and nothing else."""
    ),
    "keyword": _worded(
        """Write a sentence about {about} with the word "{req}".
        Use the word "{req}" in a sentence about {about}.
        Tell me about {about} and include the word "{req}".
        Write about {about}. Mention "{req}".
        What did {about} do? Include "{req}".
        Say that {fact}, with the word "{req}".
        ---
        "{req}" has to appear in your reply about {about}.
        Make sure that "{req}" shows up when you describe {about}.
        Compose a line on {about} featuring "{req}"."""
    ),
    "forbidden_word": _worded(
        """Write a sentence about {about} without the word "{req}".
        Tell me about {about}. Do not use the word "{req}".
        Write about {about} and never say "{req}".
        What did {about} do? Avoid the word "{req}".
        Say that {fact}. The word "{req}" is not allowed.
        ---
        "{req}" must be missing from your reply about {about}.
        Compose a line on {about}, leaving out "{req}".
        Keep "{req}" out of what you report of {about}."""
    ),
    "opening": _worded(
        """Write a sentence about {about} that begins with "{req}"
        Tell me about {about}. Start with "{req}"
        Begin your answer with "{req}" and write about {about}.
        What did {about} do? Your answer must start with "{req}"
        Start with the words "{req}" and tell me that {fact}.
        ---
        Let "{req}" be the first words of your reply on {about}.
        Open with "{req}" when you describe {about}.
        "{req}" comes first, then a line on {about}."""
    ),
    "ending": _worded(
        """Write a sentence about {about} and finish with "{req}"
        Tell me about {about}. End with "{req}"
        End your answer with "{req}" and write about {about}.
        What did {about} do? Your answer must end with "{req}"
        Tell me that {fact}, and end with the words "{req}"
        ---
        Let "{req}" be the last words of your reply on {about}.
        Close with "{req}" when you describe {about}.
        A line on {about} first, "{req}" at the very end."""
    ),
    "list_shape": _worded(
        """Name three {about} for {asker} as {req}.
        Give {asker} {req} of three {about}.
        List three {about} for {asker}. Use {req}.
        Write {req} with three {about} for {asker}.
        Which {about} does {asker} know? Answer with {req}.
        ---
        Three {about}, please, laid out as {req} for {asker}.
        Put three {about} of {asker} into {req}.
        What {about} would please {asker}? Format: {req}."""
    ),
    "item_count": _worded(
        """Name {req} {about} for {asker}.
        List {req} {about} for {asker}.
        Give {asker} {req} {about}.
        Write down {req} {about} for {asker}.
        Can you name {req} {about} that {asker} knows?
        ---
        Exactly {req} examples of {about} are needed by {asker}.
        Which {about} come to mind when you meet {asker}? Stop after {req}.
        Pick {req} out of all {about} to please {asker}."""
    ),
    "category": _worded(
        """Name some {req} for {asker}.
        List a few {req} for {asker}.
        Give {asker} examples of {req}.
        Which {req} does {asker} know?
        Write down some {req} for {asker}.
        ---
        What comes to mind to {asker} at the thought of {req}?
        Please pick several {req} with {asker}.
        Words for {req} are collected by {asker}. Help out."""
    ),
    "sentence_count": _worded(
        """Write {req} about {about}.
        Tell me what {about} did in {req}.
        Answer in {req}. What happened to {about}?
        Give me {req} about {about}.
        Use {req} to tell me that {fact}.
        ---
        Your reply on {about} should be {req} long.
        Describe the day in {req}, beginning with {about}.
        Stop after {req}. What did {about} do?"""
    ),
    "length": _worded(
        """Write about {about} in {req}.
        Tell me what {about} did in {req}.
        What did {about} do? Use {req}.
        Say in {req} that {fact}.
        Answer with {req}. What happened to {about}?
        ---
        Your reply about {about} should have {req}.
        Describe {about}. Length: {req}.
        Report that {fact}, spending {req}."""
    ),
    "json_key": _worded(
        """Write a JSON object about {about} with the key "{req}".
        Answer in JSON with the key "{req}": what did {about} do?
        Tell me about {about} as JSON. Use the key "{req}".
        Give me JSON about {about}. The key must be "{req}".
        Put into JSON under "{req}" that {fact}.
        ---
        Reply with a JSON object on {about} whose only field is named "{req}".
        Store the deed of {about} in a JSON field called "{req}".
        Your JSON about {about} needs a "{req}" entry."""
    ),
    "data_format": _worded(
        """Write as {req} that {fact}.
        What did {about} do? Answer in {req}.
        Give me {req} about {about}.
        Turn this into {req}: {fact}.
        Answer only with {req}. What did {about} do?
        ---
        Encode this as {req}: {fact}.
        My program reads nothing but {req}. Describe {about}.
        Store what {about} did as {req}."""
    ),
    "language": _worded(
        """Say in {req} that {fact}.
        Write in {req}: {fact}.
        Tell me in {req} that {fact}.
        How do you say in {req} that {fact}?
        Answer in {req}. Is it true that {fact}?
        ---
        I only understand {req}. Let me know that {fact}.
        Report in {req}, please, that {fact}.
        Use the language of my friend, who speaks {req}, to say that {fact}."""
    ),
    "topic": _worded(
        """Write a sentence about {req} for {asker}.
        Tell {asker} something about {req}.
        Write {asker} a line on the topic of {req}.
        Give {asker} one sentence about {req}.
        Tell {asker} a very short story about {req}.
        ---
        The favourite subject of {asker} is {req}. Entertain them.
        Compose a line for {asker}, who reads books about {req}.
        Imagine a scene for {asker} that has to do with {req}."""
    ),
    "arithmetic": _worded(
        """What is {req}?
        Compute {req}.
        How much is {req}?
        {req} = ?
        Work out {req} and tell me the result.
        ---
        Please calculate {req} for me.
        Find the value of {req}.
        My calculator is broken. I need {req}."""
    ),
    "word_problem": _worded(
        """{name} has {a} {items} and {req}. How many {items} does {name} have now?
        {name} had {a} {items}. Then {name} {req}. How many are there now?
        There are {a} {items} in the box of {name}, who {req}. How many {items} are there now?
        First {name} counts {a} {items}, then {req}. How many {items} in the end?
        {name} starts with {a} {items} and {req}. Count the {items}.
        ---
        Suppose {name} owns {a} {items}. Later {name} {req}. What is the new total?
        On Monday {name} has {a} {items}. On Tuesday {name} {req}. Tell me the number of {items}.
        With {a} {items} at first, {name} {req}. What number of {items} remains?"""
    ),
    "end_mark": _worded(
        """Write a sentence about {about} that ends with {req}.
        Tell me about {about}. End with {req}.
        What did {about} do? Put {req} at the end.
        Say that {fact}, with {req} at the end.
        Write about {about} and finish with {req}.
        ---
        The last character of your reply about {about} is {req}.
        Close your line on {about} by typing {req}.
        Report that {fact}, followed by {req}."""
    ),
    "person": _worded(
        """Write about {about} in {req}.
        Tell me in {req} what {about} did.
        Use {req}. What did {about} do?
        Write a sentence about {about} in {req}.
        In {req}, tell me that {fact}.
        ---
        Narrate in {req} what happened to {about}.
        Your reply on {about} has to stay in {req}.
        Pick {req} as the point of view and report of {about}."""
    ),
    "tense": _worded(
        """Write about {about} in {req}.
        Write a sentence about {about} in {req}.
        Use {req} to tell me about {about}.
        Tell me about {about}. Use {req}.
        In {req}, write what {about} does.
        ---
        Put your verbs in {req} when you describe {about}.
        Your line on {about} has to be in {req}.
        Compose one line on {about}, in {req} throughout."""
    ),
    "subject": _worded(
        """Write a sentence about {req}.
        Tell me what {req} did.
        What did {req} do?
        Tell me something about {req}.
        Describe {req}.
        ---
        I would like to hear of {req}.
        Any news from {req}?
        Make {req} the hero of your line."""
    ),
    "copy": _worded(
        """Repeat: {req}
        Say this again: {req}
        Copy this sentence: {req}
        Write exactly this: {req}
        Repeat after me. {req}
        ---
        Type the following once more: {req}
        Echo my words: {req}
        {req} Now you say it."""
    ),
    "wrapping": _worded(
        """Write about {about} in {req}.
        Put your whole answer in {req}. What did {about} do?
        Write a sentence about {about} in {req}.
        Say that {fact}. Put it in {req}.
        Your answer about {about} must be in {req}.
        ---
        Surround your reply on {about} with {req}.
        Everything goes between {req}. Describe {about}.
        Report that {fact}, enclosed in {req}."""
    ),
    "tone": _worded(
        """Write about {about} in {req}.
        Write a sentence about {about} in {req}.
        Tell me what {about} did in {req}.
        What did {about} do? Use {req}.
        In {req}, tell me that {fact}.
        ---
        Describe {about} and strike {req}.
        Your line on {about} should be in {req}.
        Report that {fact}, in {req}."""
    ),
    "numerals": _worded(
        """Write a sentence about {about} with a number in {req}.
        How long did {about} need? Write the number in {req}.
        Tell me about {about} and write the number in {req}.
        Use {req} for the number. What did {about} do?
        Say how long it took {about}, with the number in {req}.
        ---
        Numbers in your reply on {about} are to be written in {req}.
        Describe {about}; any number should be in {req}.
        Report the time it took {about}, with the number in {req}."""
    ),
    "first_letter": _worded(
        """Write a sentence about {about} that starts with the letter {req}.
        Tell me about {about}. Start with the letter {req}.
        The first letter of your answer about {about} must be {req}.
        What did {about} do? Begin with the letter {req}.
        Write about {about}. The first word begins with {req}.
        ---
        Let {req} be the initial of your reply on {about}.
        Your line on {about} should open on the letter {req}.
        I want to read {req} as the very first letter on {about}."""
    ),
    "separator": _worded(
        """Write about {about} with {req} between the words.
        Put {req} between all words. What did {about} do?
        Say that {fact}, with {req} in place of spaces.
        Write a sentence about {about} with {req} between the words.
        Use {req} and not spaces to tell me about {about}.
        ---
        Join the words of your reply on {about} by {req}.
        Replace every space by {req}. Describe {about}.
        No spaces, please, but {req}: what did {about} do?"""
    ),
}
