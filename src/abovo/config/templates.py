"""Turn the template that an instruction set names into its text, which jobs are told and which decides their bytes."""

from typing import TYPE_CHECKING

from abovo.settings.template import ChatTemplate
from abovo.tokenizing.template_files import chat_template

if TYPE_CHECKING:
    from abovo.config.runs import Configuration


def template_of(configuration: "Configuration", dataset: str) -> ChatTemplate:
    """The template of an instruction set."""
    found: str | ChatTemplate = configuration.shared("instruction", dataset).template
    if isinstance(found, ChatTemplate):
        return found
    return chat_template(found, *configuration.folders, asked=configuration.place("instruction", dataset, "template"))
