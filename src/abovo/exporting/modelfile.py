"""Turn a chat template into a Modelfile for ollama, which knows templates of Go alone."""

from collections.abc import Sequence

from abovo.exporting.chat import Render

ROLES = ("system", "user", "assistant")
# Contents that stand in no template.
WORDS = ("Qv7", "Zk3", "Wj9")


def go_template(render: Render) -> str | None:
    """The template in Go's form; `render` gives the text of messages, with or without the start of an answer.

    Only a template is translated that writes each message as it is between two fixed texts of its role, which is seen
    by rendering; None of any other.
    """
    around = _around(render)
    if around is None:
        return None
    talk = [{"role": role, "content": f" {word}\n{word} "} for role, word in zip((*ROLES, *ROLES[1:]), WORDS * 2)]  # noqa: B905
    answer = around["assistant"][0]
    for count in range(1, len(talk) + 1):
        parts = (around[one["role"]][0] + one["content"] + around[one["role"]][1] for one in talk[:count])
        if render(talk[:count], False) != "".join(parts):
            return None
    asked = "".join(around[one["role"]][0] + one["content"] + around[one["role"]][1] for one in talk[:2]) + answer
    fixed = "".join(text for pair in around.values() for text in pair)
    if render(talk[:2], True) != asked or "{{" in fixed or '"""' in fixed:
        return None
    branches = "".join(
        f'{{{{ {word} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for word, (role, (before, after)) in zip(("if", "else if", "else if"), around.items(), strict=True)
    )
    return f"{{{{ range .Messages }}}}{branches}{{{{ end }}}}{{{{ end }}}}{answer}"


def _around(render: Render) -> dict[str, tuple[str, str]] | None:
    """Role -> what stands before and behind a message of it, from a conversation that grows by one message."""
    found, before = {}, ""
    for count, role in enumerate(ROLES, 1):
        talk = [{"role": one, "content": word} for one, word in zip(ROLES[:count], WORDS, strict=False)]
        whole = render(talk, False)
        own = whole.removeprefix(before)
        if not whole.startswith(before) or own.count(WORDS[count - 1]) != 1:
            return None
        start, _, end = own.partition(WORDS[count - 1])
        found[role], before = (start, end), whole
    return found


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
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    lines += [f"PARAMETER num_ctx {context}", "PARAMETER temperature 0.7"]
    return "\n".join(lines) + "\n"
