"""Plain English: proselint's checks, and this project's own, over the pages and the documentation of the code.

`.ci/prose` installs proselint and runs this on all files; with arguments, on those. Code is skipped: fenced blocks, `inline`
code, and lines that are no documentation. CONTRIBUTING.md says what to write instead.
"""

import re
import subprocess
import sys
from pathlib import Path

from proselint.checks import __register__ as proselint_checks
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, engine, types
from proselint.tools import LintFile

# Of proselint's own checks. The others are about typography, dates, spelling variants and other people's style.
PROSELINT = ["archaism", "cliches", "hedging", "lexical_illusions", "malapropisms", "mixed_metaphors", "nonwords", "redundancy", "uncomparables"]

# What stands between two sentences, or at the beginning of a text.
START = r"(?:(?<=[.!?:;|*¶-]\s)|(?<=[.!?]\s\s)|(?<=\n\n))"
# Begins a clause with "as" that says why: "as it may be late", "as the store is empty". Not "as the SDK has it", which compares.
BECAUSE = (
    r"as\s+(?:(?:it|they|he|she|we|you|there|nobody|nothing|otherwise|whoever)\s+(?!do\b|does\b|did\b|has\s+it\b|says?\b)"
    r"|(?:the|a|an|this|that|these|those|its|their|our|your|no|each|all|some|most|any|both|only|what|another)\s+(?:[\w']+\s+){1,4}?"
    r"(?:is|are|was|were|has|have|may|can|could|needs?|must|would|will|takes?|goes|go|stays?)\s+(?!it\b)\w)"
)
VERB = r"(?:may|can|could|does|do|did|is|are|was|were|has|have|had|need|must|will|would|should)"

RULES = {
    "as": (rf",\s+{BECAUSE}", 'write "because"'),
    "as_first": (rf"{START}{BECAUSE.capitalize()}[^.?!|]*,", 'write "because", and put the reason last'),
    "for": (r",\s+for\s+(?:it|they|there|this|these|nobody|nothing)\s+(?:is|are|was|were|has|have|can|does|do|would|will|may)\b", 'write "because"'),
    "inversion": (rf"\b(?:so|nor|neither)\s+{VERB}\s+(?!on\b|not\b|to\b|no\b)", "put the subject first"),
    "nor": (rf"{START}Nor\b", 'put the subject first: "… does not …, either"'),
    "what": (rf"(?<!¶\n){START}What\b[^.?!|]*[.!]", "name the thing, instead of \"what is …\""),
    "is_to_be": (r"\b(?:is|are|was|were)\s+to\s+be\s+\w+", "say who does it"),
    "to_is": (rf"{START}To\s+\w+(?:[^.?!,;:|¶]{{0,70}}?)\b(?:is|was|would|takes|took|costs|needs|makes|gives|means|allocates|ends|adds|has|holds|loses)\b", "start with the thing that acts"),
    "save": (r"(?:,|\bnothing|\bno one|\ball)\s+save\b", 'write "except"'),
    "want": (r"\bfor\s+want\s+of\b", 'write "because there is no …"'),
    "use": (r"\b(?:of|such\s+is|are|is)\s+no\s+use\b", "say what fails"),
    "such": (r"\bsuch\s+(?:is|are)\b", "name the thing"),
    "whoever_may": (r"\bwhoever\s+(?:may|might|can)\b", "name who does it"),
    "has_not": (r"\b(?:has|have|had)\s+not\s*[,.;:)|]", 'write "does not have"'),
    "need_not": (r"\bneeds?\s+not\b", 'write "does not need"'),
    "old": (r"\b(?:whence|thereof|therein|lest|hitherto|wherein|heeds?|in\s+spite\s+of\s+which|should\s+(?:it|they|he)\s+(?:fail|go|be)|amiss|be\s+it)\b", "use an everyday word"),
    "hidden": (r"(?<=\n)[ ]*\[[^\]\n]+\]:[ ]+\[", "Markdown takes this line for the definition of a link, and does not show it"),
    "without_a_word": (r"\bwithout\s+a\s+word\b", 'write "silently"'),
}

registry = CheckRegistry()
registry.register_many(tuple(check for check in proselint_checks if any(check.matches_partial(name) for name in PROSELINT)))
registry.register_many(tuple(
    Check(types.ExistenceSimple(pattern), engine.Fancy(engine.RegexOptions(case_insensitive=name not in {"as_first", "nor", "what", "to_is"})),
          f"plain.{name}", message, CheckFlags(allow_quotes=True))
    for name, (pattern, message) in RULES.items()
))
CONFIG = {"max_errors": 100_000, "checks": {"plain": True} | dict.fromkeys(PROSELINT, True)}


def blank(match: re.Match[str]) -> str:
    """As many characters and lines, which no rule looks at."""
    return re.sub(r"[^\n]", "x", match[0])


def text_of(path: Path) -> str:
    """The prose of a file, at the lines that it has there."""
    lines, fenced = [], False
    for line in path.read_text().splitlines():
        if path.suffix == ".rs":
            comment = re.match(r"\s*(//[/!])( |$)(.*)", line)
            line = comment[3] if comment else None
        if line is not None and re.match(r"\s*(```|~~~)", line):
            fenced, line = not fenced, None
        # Other text goes on there, so no rule may reach across it.
        lines.append("¶" if line is None or fenced else f"{line} ¶" if line.startswith("#") else line)
    text = "\n".join(lines)
    text = re.sub(r"`[^`]+`", blank, text)
    text = re.sub(r"(?<=\])\([^)\s]*\)|<[^>\s]*>|https?://\S+", blank, text)
    return text


def main() -> int:
    named = sys.argv[1:]
    listed = subprocess.run(["git", "ls-files", "*.md", "src/*.rs"], check=True, capture_output=True, text=True).stdout.split()
    files = [Path(name) for name in named or listed]
    found = 0
    for path in files:
        prose = LintFile(str(path), text_of(path))
        for result in prose.lint(CONFIG):
            check = result.check_result
            if prose.content[check.span[1] - 1].isalpha() and prose.content[check.span[1]].isalpha():
                continue  # proselint finds "for ever" in "for every"
            # proselint puts an empty line before the text.
            first, last = (prose.content.count("\n", 0, end) for end in check.span)
            shown = " ".join(line.strip() for line in path.read_text().splitlines()[first - 1 : last])
            print(f"{path}:{first}: {check.check_path}: {check.message}\n    {shown}")
            found += 1
    print(f"{found} findings in {len(files)} files")
    return 1 if found else 0


sys.exit(main())
