"""The template of Alpaca's text: requests and answers under headings, a system message before them.

An answer ends with <|im_end|>, a piece that every tokenizer here has: EOS cannot be written in a text.
"""

from abovo.tokenizing.special import IM_END, IM_START, PIECES
from abovo.tokenizing.templates import Template

ALPACA = Template(
    title="Alpaca",
    jinja=(
        "{% for message in messages %}"
        "{% if message['role'] == 'assistant' %}"
        "{{ '### Response:\\n' }}"
        "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
        "{% elif message['role'] == 'user' %}"
        "{{ '### Instruction:\\n' + message['content'] }}"
        "{% else %}"
        "{{ message['content'] }}"
        "{% endif %}"
        "{{ '\\n\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"
    ),
    ends=(IM_END,),
    markers=(PIECES[IM_START], PIECES[IM_END], "### Instruction:\n", "### Response:\n"),
)
