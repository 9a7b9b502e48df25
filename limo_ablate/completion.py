"""Completion in bash, zsh and fish: `limo-ablate completion SHELL` prints a script that asks `complete`.

    limo-ablate complete -- sweep min        # plain<TAB>miniature<TAB>, ...: kind, value, description

The scripts hand over whole words; bash alone splits `model=q` at `=`, and its function joins it again. Where
anything goes wrong, nothing is printed: a shell would show it in the middle of what is being typed.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, ShellComplete

from limo_ablate.core.command import OVERRIDE_COMPLETERS, PROGRAM, Verb

BASH = r"""
_limo_ablate_completion() {
    local i word rest=$COMP_LINE words=() cut= kind value about
    for ((i = 0; i <= COMP_CWORD; i++)); do  # bash splits at COMP_WORDBREAKS; undo it
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ -n $word && $rest != [[:space:]]* ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
        rest=${rest#"${rest%%[![:space:]]*}"}
        rest=${rest#"$word"}
    done
    word=${words[-1]}
    for ((i = ${#word} - 1; i >= 0; i--)); do  # bash replaces what follows the last of them
        if [[ $COMP_WORDBREAKS == *"${word:i:1}"* ]]; then
            cut=${word:0:i+1}
            break
        fi
    done
    COMPREPLY=()
    while IFS=$'\t' read -r kind value about; do
        [[ $kind == plain ]] && COMPREPLY+=("${value#"$cut"}")
        [[ $value == *[=./] ]] && compopt -o nospace 2>/dev/null
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -o nosort -F _limo_ablate_completion limo-ablate
"""
ZSH = r"""
#compdef limo-ablate
_limo_ablate_completion() {
    local kind value about
    local -a whole partial
    while IFS=$'\t' read -r kind value about; do
        if [[ $kind != plain ]]; then
            _files
        elif [[ $value == *[=./] ]]; then
            partial+=("$value")
        else
            whole+=("${value//:/\\:}${about:+:$about}")
        fi
    done < <("${(Q)words[1]}" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    (( $#partial )) && compadd -S '' -a partial
    (( $#whole )) && _describe value whole
}
compdef _limo_ablate_completion limo-ablate
"""
FISH = r"""
function __limo_ablate_completion
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
        set -l parts (string split \t -- $line)
        if test $parts[1] = plain
            printf '%s\t%s\n' $parts[2] "$parts[3]"
        else
            __fish_complete_path "$current"
        end
    end
end
complete -c limo-ablate -f -a '(__limo_ablate_completion)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@click.command(
    "completion",
    cls=Verb,
    reads_project=False,
    examples=[
        'eval "$(limo-ablate completion bash)"      # in ~/.bashrc',
        'eval "$(limo-ablate completion zsh)"       # in ~/.zshrc, after compinit',
        "limo-ablate completion fish | source      # in ~/.config/fish/config.fish",
    ],
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> int:
    """Completes verbs, options, studies, and the keys, groups and values of overrides."""
    print(SCRIPTS[shell].strip())
    return 0


@click.command(
    "complete",
    cls=Verb,
    examples=["limo-ablate complete -- sweep min"],
    context_settings={"ignore_unknown_options": True},
)
@click.argument("line", nargs=-1, type=click.UNPROCESSED)
def complete(line: tuple[str, ...]) -> int:
    """The words of LINE are those before the cursor, the last one incomplete, it may be empty."""
    try:
        items = completions(line[:-1], line[-1] if line else "")
    except Exception:  # whatever it is, such as a broken conf/: see above
        return 0
    for item in items:
        print(item.type, item.value, item.help or "", sep="\t")
    return 0


def completions(before: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    """How the word `incomplete` may go on after the words `before`."""
    from limo_ablate.cli import limo_ablate

    if overrides not in OVERRIDE_COMPLETERS:
        OVERRIDE_COMPLETERS.append(overrides)
    return ShellComplete(limo_ablate, {}, PROGRAM, "").get_completions(list(before), incomplete)


def overrides(incomplete: str) -> list[CompletionItem[str]]:
    """Completions of an override: of its key up to the next dot, or of its value (the last of several)."""
    sign = incomplete[:1] if incomplete[:1] in ("+", "~") else ""
    key, equals, value = incomplete.removeprefix(sign).partition("=")
    if not equals:
        ends = [name.rstrip("=") if sign == "~" else name for name in _names(key)]
        return [CompletionItem(f"{sign}{name}") for name in ends]
    earlier, comma, last = value.rpartition(",")
    head = f"{sign}{key}={earlier}{comma}"
    return [CompletionItem(f"{head}{one}") for one in _values(key) if one.startswith(last)]


def _names(key: str) -> list[str]:
    """Groups and keys that begin with `key`, keys up to their next dot: `select.`, then `select.size=`."""
    from limo_ablate.trial.keys import groups, keys

    found = [f"{group}=" for group in groups() if group.startswith(key)]
    for name in keys():
        if name.startswith(key):
            head, dot, _ = name[len(key) :].partition(".")
            found.append(f"{key}{head}{dot or '='}")
    return list(dict.fromkeys(found))


def _values(key: str) -> list[str]:
    from limo_ablate.trial.keys import groups, keys

    if key in (options := groups()):
        return options[key]
    return list(keys()[key].choices) if key in keys() else []
