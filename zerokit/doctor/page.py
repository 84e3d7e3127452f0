"""What `--explain` prints and docs/reference/doctor.md says of a rule: both are made here, so they never differ.

`python -m zerokit.doctor.page > docs/reference/doctor.md` after a change of a rule.
"""

from __future__ import annotations

import re

from .rule import GROUPS, Rule, all_rules

_LANGUAGES = {"app.py": "python", "README.md": "yaml", "requirements.txt": "text"}
_NOT_RUN = "<!-- not run: an example for the doctor -->"
_HEAD = """# What the doctor looks for

One section for each rule of [`zerokit doctor`](../guides/doctor.md), made from the rules themselves:
`zerokit doctor --explain ZK201` prints the same. An *error* would break the Space, or refuse its visitors; a *warning*
wastes quota, or surprises. Those marked "mended by `--fix`" are mended where that is safe.
"""


def explain(rule: Rule) -> str:
    """A rule as a section of Markdown: what, why, what to do, and an example of both ways."""
    mended = ", mended by `--fix`" if rule.fixable else ""
    language = _LANGUAGES[rule.file]
    return f"""### {rule.code}

**{rule.title}** ({rule.severity}{mended})

{rule.why}

{rule.advice}

Found, in {rule.file}:

{_block(language, rule.wrong)}
Not found:

{_block(language, rule.right)}"""


def page() -> str:
    """The whole page of docs/reference/doctor.md."""
    parts = [_HEAD]
    for group, title in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [explain(rule) for rule in all_rules() if rule.code[2] == group]
    return "\n".join(parts).replace("```python\n", f"{_NOT_RUN}\n```python\n")


def _block(language: str, text: str) -> str:
    text = re.sub(r"\bhf_\w{30,}", "hf_...", text)  # the shape of a token is enough to be revoked by a scanner
    return f"```{language}\n{text}```\n"


if __name__ == "__main__":
    print(page(), end="")
