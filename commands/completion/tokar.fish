# fish completion for tokar. tokar itself knows what may stand at the cursor; fish
# quotes it, and knows files and directories better.
function __tokar_complete
	set -l words (commandline -opc)
	set -l raw (commandline -ct)
	# Words are unquoted and never expanded; a quote may still be open.
	set -l typed (string unescape -- $raw; or string unescape -- $raw\'; or string unescape -- $raw\")
	set -l answer (command tokar __complete fish $words[2..-1] "$typed" 2>/dev/null </dev/null)
	set -q answer[1]; or return
	set -l how (string split ' ' -- $answer[1])
	set -l stays (string sub -l $how[2] -- "$typed")
	switch "$how[1]"
		case files
			for path in (__fish_complete_path (string sub -s (math $how[2] + 1) -- "$typed"))
				printf '%s%s\n' "$stays" $path
			end
		case dirs
			for path in (__fish_complete_directories (string sub -s (math $how[2] + 1) -- "$typed") '')
				printf '%s%s\n' "$stays" $path
			end
		case '*'
			for line in $answer[2..-1]
				printf '%s%s\n' "$stays" $line
			end
	end
end
complete -c tokar -f -a '(__tokar_complete)'
