# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Completion for bash: verbs and options as the program itself lists them, VM files and their names in the configuration
# directory, other files.

_ouassister() {
	local word=${COMP_WORDS[COMP_CWORD]} verb options words='' file

	while read -r verb options; do
		if [ "$COMP_CWORD" -eq 1 ]; then
			words+=" $verb"
		elif [[ $verb == "${COMP_WORDS[1]}" && $word == -* ]]; then
			words=$options
		fi
	done < <("$1" --completion 2>/dev/null)
	if [ "$COMP_CWORD" -eq 2 ]; then
		for file in "${OUASSISTER_CONFIG_DIR:-/etc/ouassister}"/*.vm; do
			[ ! -e "$file" ] || words+=" $(basename "$file" .vm)"
		done
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o default -F _ouassister ouassister
