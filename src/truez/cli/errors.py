"""Bad input as one sentence with an exit code, in which parameters have the names of options."""

from __future__ import annotations

import difflib
import errno
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from truez.cli.methods import METHODS
from truez.cli.process import line
from truez.support.memory import in_words
from truez.support.notes import Note
from truez.support.printable import printable

#: Exit codes: a defect of truez, bad input (the same as a usage error), and stopped by Ctrl-C
#: (128 + SIGINT).
DEFECT, BAD_INPUT, INTERRUPTED = 1, 2, 130
#: Characters of the longest sentence.
LONGEST = 299
#: What the errors of options say that are not of their type.
TYPES = {
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
}
#: Those of a number that is out of its range, and the end that it is beyond.
RANGES = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
#: The same by click, which typer asks before 0.29.
_NOT_OF_TYPE = re.compile(r"'(.*)' is not a valid (integer|float)(?: range)?\.", re.DOTALL)
_NOT_IN_RANGE = re.compile(r"(.*) is not in the range x(>=|>|<=|<)(.*)\.")
_CLICK_TYPES = {"integer": TYPES["int_parsing"], "float": TYPES["float_parsing"]}
_CLICK_RANGES = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}
#: Wrong options and arguments, and what typer raises where it shows the help instead.
USAGE: Any = typer.BadParameter.__mro__[1]
NO_ARGUMENTS = "NoArgsIsHelpError"
#: A long text in quotation marks, what ends the column of a cut, and rich's marks in a help text.
_QUOTED = re.compile(r"(?<!\w)(['\"])(?:(?!\1).){60,}\1")
_CUT = re.compile("[<>]")
#: The column that a sentence is about, where the sentence does not name its option.
_COLUMN = re.compile(
    r" has no column ('.*?'|\".*?\")(?! \((?:--|pdf_id))|^column ('.*?'|\".*?\")(?= of )"
)
#: What precedes the columns that there are, which are the user's names and no parameters.
_LISTED = re.compile(
    r"\bno column .{1,300}?(?:, only |: it has |: choose one of )"
    r"|needs column .{1,120}?, and only "
)
_MARKUP = re.compile(r"\[/?bold\]|\\(?=\[)")
#: torch's words for more memory than there is, in a `RuntimeError`.
_MEMORY = re.compile(r"can't allocate memory|out of memory", re.IGNORECASE)
#: How much more memory torch wanted.
_BYTES = re.compile(r"tried to allocate (\d+) bytes")


#: Words of a library's sentence that mean an option: the words, and what replaces them where the
#: command has that option.
PHRASES: tuple[tuple[str, str, str], ...] = (
    ('outside="drop"', "drop_outside", "--drop-outside"),
    ("overwrite=True", "overwrite", "--overwrite"),
    ("interlacing=False", "interlacing", "--no-interlacing"),
    (
        "boxsize, boxcenter or the length unit",
        "length_unit",
        "--boxsize, --boxcenter or --length-unit",
    ),
    ("leave those rows out", "drop_missing", "leave those rows out with --drop-missing"),
    ("chooses the table", "table", "by --table chooses the table"),
    ("or reconstruct in patches", "patch", "or give --patch 512"),
    ("choose another out", "out", "choose another --out"),
    ("folder with out", "out", "folder with --out"),
    ("some or choose another folder", "out", "some or choose another --out"),
    ("with start = ", "start", "with --start "),
    ("spec density", "spec_density", "--spec-density"),
    ("photo density", "photo_density", "--photo-density"),
    ("samples must be 0", "samples", "--samples must be 0"),
    ("an override has", "settings", "--set has"),
    ("override '", "settings", "--set '"),
    ("the spec sample is empty: no galaxy passes", "spec_cut", "no galaxy passes --spec-cut"),
    ("the photo sample is empty: no galaxy passes", "photo_cut", "no galaxy passes --photo-cut"),
    ("needs a density or a cut", "spec_cut", "needs --spec-density or --spec-cut"),
    (
        "sigma_z, sigma_z_column, z_err_column or pdf",
        "pdf",
        "--sigma-z, --sigma-z-column, --z-err-column or --pdf",
    ),
    (" with pdf", "pdf", " with --pdf"),
    (" and pdf are given", "pdf", " and --pdf are given"),
    (" and pdf by ", "pdf", " and --pdf by "),
    (" in pdf: write", "pdf", " in --pdf: write"),
    (", and overlap: nested", "overlap", ", and --overlap: nested"),
    ("method on the sky", "method", "--method on the sky"),
    (" footprint and ", "footprint", " --footprint and "),
    ("DEC,Z with sky", "sky", "DEC,Z with --sky"),
    (" footprint or the columns", "footprint", " --footprint or the columns"),
    ("overlaps footprint", "footprint", "overlaps --footprint"),
)
#: Names that are ordinary words of a sentence as well: only `PHRASES` replaces them.
ORDINARY = frozenset(
    {"boxes", "mock", "other", "out", "photo", "sample", "samples", "settings", "spec", "start"}
)
#: Names that are parameters wherever a sentence begins with them.
LEADING = frozenset({"footprint", "nz", "pdf"})
#: What is amiss where blanks divide the value of an option.
COMMAS = "numbers and names of one option have commas between them and no blanks"
#: Verbs before a name that make it a parameter: "leave weights out", "needs hubble".
_VERBS = "give|choose|leave|needs?|say|set|correct|take|pass"


@contextmanager
def one_sentence(
    *, debug: bool = False, options: Callable[[], Mapping[str, str]] = dict
) -> Iterator[None]:
    """Turn any exception into one sentence on stderr and an exit code.

    Bad input is a wrong option, a `ValueError`, an `OSError` (no such file, no permission, a full
    disk), an input that is nested too deeply, or more than the memory holds: exit code 2. Ctrl-C is
    exit code 130. Any other exception is a defect of truez, whose sentence says how to get the
    traceback: exit code 1.

    Parameters
    ----------
    debug : bool
        Show the traceback of bad input too.
    options : function
        The options of the command by the names of their parameters, as for `name_options`.

    Raises
    ------
    SystemExit
    """
    try:
        yield
    except KeyboardInterrupt:
        if debug:
            raise
        typer.echo(line("SIGINT"), err=True, nl=False)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if debug or _is_for_typer(error):
            raise
        text, code = _answer(error, options)
        typer.echo(f"truez: {_printable(text)}", err=True)
        raise SystemExit(code) from None


def _answer(error: Exception, options: Callable[[], Mapping[str, str]]) -> tuple[str, int]:
    """The sentence of an exception, and the exit code."""
    if isinstance(error, USAGE):
        return _usage(error), BAD_INPUT
    reason = sentence(error)
    if _is_out_of_memory(error, reason):
        wanted = _BYTES.search(reason)
        size = f", of which another {in_words(float(wanted[1]))} are needed" if wanted else ""
        return (
            f"there is not enough memory{size}: take larger cells, a smaller box or a smaller tile"
        ), BAD_INPUT
    if isinstance(error, ValueError | OSError):
        return name_options(reason, options()), BAD_INPUT
    if isinstance(error, RecursionError):
        return "the input is nested too deeply to be read: give a file that truez wrote", BAD_INPUT
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"an unexpected {type(error).__name__} in {Path(where.filename).name}, line "
        f"{where.lineno} ({reason[:120]}): a damaged input or a defect of truez, of which truez "
        "--debug COMMAND shows the traceback"
    ), DEFECT


def _is_out_of_memory(error: Exception, reason: str) -> bool:
    """Whether an exception says that more memory was wanted than there is."""
    if isinstance(error, RuntimeError):
        return _MEMORY.search(reason) is not None
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return no_memory or isinstance(error, MemoryError)


def _is_for_typer(error: Exception) -> bool:
    """Whether typer itself handles an exception: the help, an exit, and a closed pipe."""
    if isinstance(error, BrokenPipeError):
        return True  # the reader of our stdout has gone (`truez ... | head`)
    return isinstance(error, typer.Exit | typer.Abort) or type(error).__name__ == NO_ARGUMENTS


def name_column(text: str, values: Mapping[str, Any]) -> str:
    """A sentence about a column of a file, with the option that asks for the column.

    The column is one that the file lacks (``... has no column 'X'``), or holds something else
    (``column 'X' of ... must hold redshifts``).

    Parameters
    ----------
    text : str
        The sentence of a library function.
    values : mapping
        The values of a command's options, by their names as they are typed.
    """
    found = _COLUMN.search(text)
    if found is None:
        return text
    column = found[1] or found[2]
    first = ["--sky"]
    if " of photo " in text:
        first.insert(0, "--photo-sky")
    order = sorted(values, key=lambda name: first.index(name) if name in first else len(first))
    for option in order:
        value = values[option]
        # Columns of the sky are found, and shown, without regard to case.
        same = str.lower if option in first or option.endswith("-column") else str
        texts = [value] if isinstance(value, str) else value
        if not (option.startswith("-") and isinstance(texts, list | tuple)):
            continue
        for typed in texts:
            names = [
                name.strip()
                for name in (typed, *typed.split(","), *typed.split(":"), *_CUT.split(typed)[:1])
            ]
            # Long names are cut in the sentence.
            if any(
                same(column) in (same(repr(name)), same(repr(name[:60])), same(quoted(name)))
                for name in names
            ):
                alone = same(typed) == same(names[0]) == same(column[1:-1])
                shown = option if alone else f"{option} {_word(typed)}"
                return f"{text[: found.end()]} ({shown}){text[found.end() :]}"
    return text


def _usage(error: Any) -> str:
    """The sentence of a wrong option or argument, by the kind of click's error."""
    command = "truez" if error.ctx is None else error.ctx.command_path
    help_of, command = f"{command} -h lists", command.removeprefix("truez ")
    parameter, kind = getattr(error, "param", None), type(error).__name__
    if kind == "NoSuchOption" and re.fullmatch(r"-[\d.]+", error.option_name):
        return f"{command} has no option {_word(error.option_name)}: {COMMAS}"
    if kind == "NoSuchOption":
        close = difflib.get_close_matches(error.option_name, _options(error.ctx), 1, 0.7)
        remedy = f"did you mean {close[0]}?" if close else f"{help_of} the options"
        return f"{command} has no option {_word(error.option_name)}: {remedy}"
    if kind == "BadOptionUsage":
        name = _word(error.option_name)
        if "requires an argument" in error.message:
            return f"{name} needs a value after it: {help_of} what it may be"
        return f"{name} takes no value: give it alone, or leave it out"
    if kind == "MissingParameter" and parameter is not None:
        words = " ".join(_MARKUP.sub("", parameter.help or "").split()).rstrip(".")
        name = parameter.opts[0] if _is_option(parameter) else parameter.name.upper()
        return f"{command} needs {name} ({words}): {help_of} the options"
    if parameter is not None and (found := _wanted(error)) is not None:
        return f"{parameter.opts[0]} must be {found[0]}, not {quoted(found[1])}"
    text = " ".join(error.format_message().split()).rstrip(".")
    if text.startswith("Got unexpected extra"):
        extra = re.sub(r"^[^(]*\(s?\)? ?\(?|\)$", "", text)
        numbers = re.fullmatch(r"[-+\d.,eE ]+", extra)
        remedy = COMMAS if numbers else "leave it out, or name its option"
        return f"{command} has no use for {_word(extra)}: {remedy}"
    text = f"{text[:1].lower()}{text[1:]}"
    return text if "there is no command" in text else f"{text}: {help_of} what there is"


def _wanted(error: Any) -> tuple[str, Any] | None:
    """What a value must be and what it is, by pydantic or click; None of another error."""
    if hasattr(error.__cause__, "errors"):
        found = error.__cause__.errors()[0]
        if found["type"] in RANGES:
            words, end = RANGES[found["type"]]
            return f"{words} {found['ctx'][end]:g}", found["input"]
        return TYPES.get(found["type"], "a value of another type"), found["input"]
    message = getattr(error, "message", "")
    if (alike := _NOT_OF_TYPE.fullmatch(message)) is not None:
        return _CLICK_TYPES[alike[2]], alike[1]
    if (beyond := _NOT_IN_RANGE.fullmatch(message)) is not None:
        return f"{_CLICK_RANGES[beyond[2]]} {float(beyond[3]):g}", beyond[1]
    return None


def quoted(value: Any) -> str:
    """`truez.support.checks.shown`, imported when it is needed."""
    from truez.support.checks import shown

    return shown(value)


def _options(context: Any) -> list[str]:
    """The options of a command, as they are typed."""
    return [
        name
        for p in context.command.params
        if _is_option(p)
        for name in (*p.opts, *p.secondary_opts)
    ]


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _word(text: str) -> str:
    """A word of a command line, in quotation marks where it is not one plain word."""
    return text if re.fullmatch(r"[\w./=-]{1,40}", text) else quoted(text)


def _printable(text: str) -> str:
    """A sentence of at most `LONGEST` characters, all of them printable, long values cut."""
    shown = printable(text)
    shown = re.sub(r"(?<=\d)e\+0?(?=\d)", "e", shown)  # 1e300, as it is typed
    shown = _QUOTED.sub(lambda found: f"{found[0][:40]}...{found[0][-1]}", shown)
    room = LONGEST - len("truez: ")
    if len(shown) > room:  # what is wrong is at the beginning, and the remedy at the end
        shown = f"{shown[: room - 125]} ... {shown[-120:]}"
    return shown


@contextmanager
def notes(options: Callable[[], Mapping[str, str]] = dict) -> Iterator[None]:
    """Print each `Note` to stderr once, with the options of the command."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Note)
        others = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            text = f"truez: note: {printable(name_options(str(message), options()))}"
            if not issubclass(category, Note):
                others(message, category, *place, **more)
            elif text not in printed:
                printed.add(text)
                typer.echo(text, err=True)

        warnings.showwarning = show
        yield


def sentence(error: Exception) -> str:
    """The message of ``error`` on one line."""
    if hasattr(error, "errors"):  # a pydantic.ValidationError, without importing pydantic here
        from truez.support.settings import refused_setting

        return refused_setting(error)  # type: ignore[arg-type]
    if isinstance(error, OSError) and error.errno is not None:
        place = "" if error.filename is None else f"{error.filename}: "
        if error.errno == errno.ENOSPC:
            return f"{place}the disk is full: free some space and run the command again"
        return f"{place}{(error.strerror or str(error)).lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def name_options(text: str, options: Mapping[str, str]) -> str:
    """A sentence with the parameters of a command written as its options.

    A name is a parameter

    - anywhere, if it has an underscore (``length_unit``), but not within quotes or a dotted name;
    - at the beginning of the sentence, if a colon follows it (``spec: ...``), or there or behind a
      semicolon, if "must", "need", a sign or a number follows it (``boxsize must be ...``,
      ``floor = 0.2 is ...``), or, for a method, its name;
    - at the beginning, if it is ``footprint``, ``nz`` or ``pdf``;
    - behind a verb such as "give" or "leave" (``leave weights out``).

    Columns that a file has, at the end of a sentence about one that it has not, are no parameters.

    Parameters
    ----------
    text : str
        The sentence of a library function.
    options : mapping of str to str
        The options by the names of their parameters: ``{"length_unit": "--length-unit"}``.
    """
    listed = _LISTED.search(text)
    end = len(text) if listed is None else listed.end()
    text, columns = text[:end], text[end:]
    for phrase, name, replacement in PHRASES:
        if name in options:
            text = text.replace(phrase, replacement)
    for name, option in options.items():
        text = re.sub(rf"^{name}(?=: )", option, text)
        if "_" in name:
            text = re.sub(rf"(?<![\w./'\"-]){name}(?![\w/'\"-]|\.\w|=)", option, text)
        elif name not in ORDINARY:
            text = re.sub(
                rf"(?:^|(?<=; )){name}(?= must\b| needs?\b| =|:| of \d| -?\d)", option, text
            )
            if name in LEADING:
                text = re.sub(rf"^{name}(?= )", option, text)
            text = re.sub(rf"\b((?:{_VERBS}) ){name}(?![\w/'\"-]|\.\w|=)", rf"\1{option}", text)
    if "method" in options:
        text = re.sub(rf"^method(?= ({'|'.join(METHODS)})\b)", options["method"], text)
    return text + columns
