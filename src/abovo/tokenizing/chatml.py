"""The template ChatML: every message between <|im_start|> with its role and <|im_end|>.

The newline after <|im_end|> is not the assistant's: a model that has said <|im_end|> is done.
"""

from abovo.tokenizing.special import IM_END, IM_START, PIECES
from abovo.tokenizing.templates import Template

CHATML = Template(
    title="ChatML",
    jinja=(
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{% if message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
        "{% else %}"
        "{{ message['content'] + '<|im_end|>' }}"
        "{% endif %}"
        "{{ '\\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    ends=(IM_END,),
    markers=(PIECES[IM_START], PIECES[IM_END]),
)
