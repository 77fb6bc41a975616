# SPDX-License-Identifier: ISC
# What scdoc prints, without the paragraph macros that do nothing (a warning of mandoc -Tlint each); and with minus signs
# for the hyphens of commands and flags, so that they can be copied out of the page.
function minus(s,    out, at, bold) {
	while ((at = index(s, "\\fB")) > 0) {
		out = out substr(s, 1, at + 2)
		s = substr(s, at + 3)
		at = index(s, "\\f")
		if (at == 0)
			at = length(s) + 1
		bold = substr(s, 1, at - 1)
		gsub(/-/, "\\-", bold)
		out = out bold
		s = substr(s, at)
	}
	return out s
}

/^\.(P|PP)$/ { wanted = 1; next }
/^\.(SH|SS|TH) / { print; wanted = 0; heading = 1; next }
/^\.RE$/ { print; next } # the space belongs behind it
{
	if (wanted && !heading)
		print ".P"
	wanted = heading = 0
	if ($0 == ".nf" || $0 == ".fi")
		literal = $0 == ".nf"
	else if (literal && !/^\./)
		gsub(/-/, "\\-")
	print literal ? $0 : minus($0)
}
