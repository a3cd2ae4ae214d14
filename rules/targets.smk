# What is asked for and no rule makes is told in one line, with what there is. A project that imports the workflow has
# rules of its own, so there Snakemake says it.
from snakemake.api import DAGApi

from abovo.config.targets import refuse_unknown


def asked_for():
    """Targets, and files that --forcerun, --until and --omit-from name. Snakemake hands these settings to the workflow
    only after all its files are read; until then they stand in the call that reads them.
    """
    frame = sys._getframe()
    while not isinstance(frame.f_locals.get("self"), DAGApi):
        frame = frame.f_back
        if frame is None:
            return []
    asked = frame.f_locals["self"].dag_settings
    more = [*asked.forcerun, *asked.until, *asked.omit_from]
    return [*asked.targets, *(one for one in more if not workflow.is_rule(one))]


def made(target):
    if workflow.is_rule(target):
        return not workflow.get_rule(target).has_wildcards()
    return any(one.is_producer(target) for one in workflow.rules)


if workflow.is_main_process and workflow.modifier.is_main_snakefile():
    patterns = [str(path) for one in workflow.rules for path in one.output]
    clear(refuse_unknown, CONFIGURATION, asked_for(), made, patterns)
