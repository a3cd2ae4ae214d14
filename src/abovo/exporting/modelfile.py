"""Turn a chat template into a Modelfile for ollama, which knows templates of Go alone."""

from collections.abc import Sequence

from abovo.exporting.chat import Render

ROLES = ("system", "user", "assistant")
# Contents that stand in no template.
WORDS = ("Qv7", "Zk3", "Wj9")


def go_template(render: Render) -> str | None:
    """The template in Go's form; `render` gives the text of messages, with or without the start of an answer.

    Only a template is translated that writes each message between two fixed texts of its role, and perhaps a text
    before all of them, which is seen by rendering; None of any other. Blanks at the edges of a message, which some
    templates cut off, stay there in Go.
    """
    found = _around(render)
    if found is None:
        return None
    opening, around = found
    turns = zip((*ROLES, *ROLES[1:]), WORDS * 2, strict=False)
    talk = [{"role": role, "content": f"{word}\n {word}"} for role, word in turns]
    for messages in (*(talk[:count] for count in range(1, len(talk) + 1)), talk[1:]):
        parts = (around[one["role"]][0] + one["content"] + around[one["role"]][1] for one in messages)
        plain = opening + "".join(parts)
        if render(messages, False) != plain:
            return None
        if messages[-1]["role"] == "user" and render(messages, True) != plain + around["assistant"][0]:
            return None
    fixed = opening + "".join(text for pair in around.values() for text in pair)
    if "{{" in fixed or '"""' in fixed:
        return None
    branches = "".join(
        f'{{{{ {word} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for word, (role, (before, after)) in zip(("if", "else if", "else if"), around.items(), strict=True)
    )
    return f"{opening}{{{{ range .Messages }}}}{branches}{{{{ end }}}}{{{{ end }}}}{around['assistant'][0]}"


def _around(render: Render) -> tuple[str, dict[str, tuple[str, str]]] | None:
    """What stands before all messages, and role -> what stands before and behind a message of it: from a conversation
    that grows by one message, and one that begins with its second."""
    found, before = {}, ""
    talk = [{"role": role, "content": word} for role, word in zip(ROLES, WORDS, strict=True)]
    for count, (role, word) in enumerate(zip(ROLES, WORDS, strict=True), 1):
        whole = render(talk[:count], False)
        own = whole.removeprefix(before)
        if not whole.startswith(before) or own.count(word) != 1:
            return None
        start, _, end = own.partition(word)
        found[role], before = (start, end), whole
    alone = render(talk[1:2], False)
    opening = alone.removesuffix(WORDS[1].join(found["user"]))
    start, end = found["system"]
    if opening == alone or not start.startswith(opening):
        return None
    return opening, {**found, "system": (start.removeprefix(opening), end)}


def modelfile(gguf: str, context: int, stops: Sequence[str], render: Render | None) -> str:
    """The text of a Modelfile for the GGUF file at the relative path `gguf`; `render` of a model for chats."""
    lines = [f"FROM ./{gguf}"]
    template = None if render is None else go_template(render)
    if render is None:
        lines.append('TEMPLATE """{{ .Prompt }}"""')
    elif template is None:
        lines.append("# the chat template has no known form in Go: ollama takes the one of the GGUF file")
    else:
        lines.append(f'TEMPLATE """{template}"""')
    lines += [f'PARAMETER stop """{stop}"""' if '"' in stop else f'PARAMETER stop "{stop}"' for stop in stops]
    lines += [f"PARAMETER num_ctx {context}", "PARAMETER temperature 0.7"]
    return "\n".join(lines) + "\n"
