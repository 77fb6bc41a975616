/* SPDX-License-Identifier: ISC */
/* cmd_host.c: the commands about this machine: the daemon, version, help; and rows of others. */
#include "cli/client.h"
#include "cli/cmd_bench.h"
#include "cli/cmd_complete.h"
#include "cli/cmd_daemon.h"
#include "cli/cmd_ssh_config.h"
#include "cli/cmd_stats.h"
#include "cli/cmd_tui.h"
#include "cli/cmd_unit.h"
#include "cli/cmd_version.h"
#include "cli/cmd_web.h"
#include "cli/doctor.h"
#include "cli/help.h"
#include "common/json.h"

static int help(struct cli *cli, const struct args *args, struct bg_err **err)
{
	int used = 0, count = (int)args->count;
	const struct command *c = NULL;

	if (count == 0) {
		help_all(&cli->out);
		return BG_EXIT_OK;
	}
	c = args_find(cli_commands, count, (char **)args->positional, &used);
	if (c && used == count) {
		help_command(&cli->out, c);
		return BG_EXIT_OK;
	}
	if (count == 1 && help_group(&cli->out, args->positional[0]))
		return BG_EXIT_OK;
	return args_unknown(cli_commands, count, (char **)args->positional, err);
}

static const struct flag no_flags[] = {FLAG_END};
static const struct flag ssh_config_flags[] = {
	{"--install", NULL, ARG_NONE, "add it to ~/.ssh/config"},
	{"--uninstall", NULL, ARG_NONE, "remove it from ~/.ssh/config"},
	FLAG_END,
};
#define FLAG_FORCE                                                                                 \
	{                                                                                          \
		"--force", NULL, ARG_NONE, "end one that does not answer"                          \
	}
#define FLAGS_BUSY                                                                                 \
	{"--wait", NULL, ARG_NONE, "wait until the operations that run have ended"},               \
	{                                                                                          \
		"--cancel", NULL, ARG_NONE, "cancel builds, pulls and imports that run"            \
	}
static const struct flag busy_flags[] = {FLAGS_BUSY, FLAG_END};
static const struct flag stop_flags[] = {FLAGS_BUSY, FLAG_FORCE, FLAG_END};
static const struct flag restart_flags[] = {FLAGS_BUSY, FLAG_FORCE, FLAG_JSON, FLAG_END};
static const struct flag top_flags[] = {
	{"--once", NULL, ARG_NONE, "one look", 'b'},
	FLAG_JSON,
	FLAG_END,
};
static const struct flag bench_flags[] = {
	{"--count", "N", ARG_NUMBER, "VMs that are made, and bare starts; 5 without it", 'n'},
	{"--at-once", "C", ARG_NUMBER,
		"how many of them at a time in the second part; 4 without it, 1 leaves it out",
		'C'},
	{"--image", "NAME", ARG_IMAGE, "the image they are made of"},
	{"--kernel", "NAME", ARG_KERNEL, "boot this kernel instead of the image's own"},
	{"--cpus", "N", ARG_NUMBER, "virtual CPUs", 'c'},
	{"--memory", "SIZE", ARG_SIZE, "such as 2G or 512M", 'm'},
	{"--no-bare", NULL, ARG_NONE, "do not start the bare VMM"},
	FLAG_JSON,
	FLAG_END,
};
static const struct flag web_flags[] = {
	{"--print", NULL, ARG_NONE, "print the link instead of opening a browser"},
	{"--sign-out", NULL, ARG_NONE, "sign every browser out"},
	FLAG_JSON,
	FLAG_END,
};
static const struct flag tui_flags[] = {
	{"--no-color", NULL, ARG_NONE, "no colors; NO_COLOR does the same"},
	{"--ascii", NULL, ARG_NONE, "only ASCII characters"},
	{"--no-mouse", NULL, ARG_NONE, "leave the mouse to the terminal"},
	FLAG_END,
};
static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};
static const struct flag doctor_flags[] = {
	{"--remove", "FOLDER", ARG_TEXT,
		"remove a folder of no known VM, image or kernel, named by its line \"store\""},
	{"--force", NULL, ARG_NONE, "do not ask before that", 'f'},
	{"--fix", NULL, ARG_NONE,
		"run the remedies that need no root, after showing them and asking"},
	{"--yes", NULL, ARG_NONE, "do not ask before that", 'y'},
	{"--strict", NULL, ARG_NONE, "exit with 5 for a warning too"},
	FLAG_JSON,
	FLAG_END,
};

const struct command host_commands[] = {
	{.path = "daemon status",
		.flags = print_flags,
		.usage = "",
		.summary = "tell whether the daemon runs, and where its files are",
		.details = "Does not start it. The exit status is 7 when it is not running. Says "
			   "why the last start "
			   "failed, and what is wrong in config.toml or not applied yet.",
		.example = "banger daemon status",
		.run = daemon_status},
	{.path = "daemon socket",
		.flags = no_flags,
		.usage = "",
		.summary = "print the path of the API's socket",
		.example = "curl --unix-socket \"$(banger daemon socket)\" http://banger/v1/vms",
		.run = daemon_socket},
	{.path = "daemon start",
		.flags = print_flags,
		.usage = "",
		.summary = "start the daemon; other commands do it by themselves",
		.example = "banger daemon start",
		.run = daemon_start},
	{.path = "daemon stop",
		.flags = stop_flags,
		.usage = "[--wait|--cancel|--force]",
		.summary = "stop the daemon; VMs keep running",
		.details = "Asks first when operations run, and refuses without a terminal to ask "
			   "on. --force is for a daemon that does not answer: it is asked once "
			   "more, and killed after some "
			   "seconds. What it was about is undone at its next start.",
		.example = "banger daemon stop",
		.run = daemon_stop},
	{.path = "daemon restart",
		.flags = restart_flags,
		.usage = "[--wait|--cancel|--force]",
		.summary = "stop the daemon and start it again; VMs keep running",
		.details = "Reads config.toml again; one with an error is refused before the "
			   "daemon is stopped.",
		.example = "banger daemon restart",
		.run = daemon_restart},
	{.path = "daemon install",
		.flags = busy_flags,
		.usage = "[--wait|--cancel]",
		.summary = "let systemd start the daemon at your login",
		.details =
			"Enables bangerd.socket and bangerd.service of your own systemd. From a "
			"build folder it writes the units first, into ~/.config/systemd/user. "
			"A daemon that runs is replaced; VMs keep running. Without lingering "
			"(`loginctl enable-linger`) systemd ends your services at your last "
			"logout: VMs are shut down cleanly then, and those with --autostart start "
			"at your next login. With it they run on, and start with the machine.",
		.example = "banger daemon install\nloginctl enable-linger",
		.run = daemon_install},
	{.path = "daemon uninstall",
		.flags = busy_flags,
		.usage = "[--wait|--cancel]",
		.summary = "undo `daemon install`; VMs keep running",
		.details = "Lingering stays as it is: `loginctl disable-linger` ends it.",
		.example = "banger daemon uninstall",
		.run = daemon_uninstall},
	{.path = "__session-end",
		.hidden = true,
		.flags = no_flags,
		.usage = "",
		.summary = "shut all VMs and the daemon down",
		.example = "banger __session-end",
		.run = session_end},
	{.path = "__vm-unit",
		.kind = ARG_VM,
		.min_args = 1,
		.max_args = 1,
		.hidden = true,
		.flags = no_flags,
		.usage = "NAME",
		.summary = "run a VM in the foreground",
		.example = "banger __vm-unit web",
		.run = vm_unit},
	{.path = "top",
		.flags = top_flags,
		.usage = "",
		.summary = "what the running VMs use, live",
		.details = "Lines follow each other where the output is not a terminal. Ctrl-C "
			   "ends it.",
		.example = "banger top\nbanger top --once",
		.run = top},
	{.path = "bench",
		.flags = bench_flags,
		.usage = "[--count N] [--at-once C]",
		.summary = "measure how long VMs take here",
		.details = "Makes N VMs one after the other, then N with C at a time, and shows "
			   "what each stage took (p50, p95). Beside them the same "
			   "VMM and kernel are started bare: until the kernel has looked for its "
			   "root. The VMs have names of their own and are "
			   "deleted, also after Ctrl-C.",
		.example = "banger bench --count 10 --at-once 2",
		.run = bench},
	{.path = "web",
		.flags = web_flags,
		.usage = "",
		.summary = "open the web page",
		.details = "Signs your browser in by a link that is good once, within a minute. "
			   "Without a display, or "
			   "over ssh, the link is printed. The page is at the address of the key "
			   "web in config.toml, for your "
			   "own processes alone; docs/web.md says more.",
		.example = "banger web",
		.run = web},
	{.path = "tui",
		.flags = tui_flags,
		.usage = "",
		.summary = "VMs, images, kernels and operations on one screen, live",
		.details = "`?` shows the keys. Needs a terminal of 40 columns and 8 rows; 80 and "
			   "24 are enough for all of it. Starts the daemon when it "
			   "is not there, and survives its restart.",
		.example = "banger tui",
		.run = tui},
	{.path = "doctor",
		.flags = doctor_flags,
		.usage = "[--fix [--yes]] [--strict] [--remove FOLDER]",
		.summary = "check this machine and say how to fix what is missing",
		.details = "Starts the daemon, if it can be. The exit status is 5 when a VM could "
			   "not be "
			   "run. --fix runs only what needs no root and disturbs no VM, then "
			   "checks again; what needs root is shown "
			   "for you to type. Its exit status is that of the second check, and 1 "
			   "when a remedy failed.",
		.example = "banger doctor\nbanger doctor --fix\nbanger doctor --remove "
			   "set-aside/images-old",
		.run = doctor},
	{.path = "ssh-config",
		.flags = ssh_config_flags,
		.usage = "[--install|--uninstall]",
		.summary = "let plain `ssh NAME.vm` work, with scp, rsync and editors",
		.details =
			"Prints the lines for ssh. --install writes them to a file of banger's own "
			"and "
			"adds one Include line to ~/.ssh/config; --uninstall leaves that file byte "
			"for byte as it was. `ssh NAME.vm` starts neither the VM nor the daemon. "
			"Install again after a change of ssh_key_path.",
		.example = "banger ssh-config --install\nssh web.vm\nrsync -a src/ web.vm:src/",
		.run = ssh_config},
	{.path = "ssh-proxy",
		.kind = ARG_TEXT,
		.min_args = 2,
		.max_args = 2,
		.hidden = true,
		.flags = no_flags,
		.usage = "HOST PORT",
		.summary = "hand ssh a connection to NAME.vm",
		.example =
			"ssh -o ProxyUseFdpass=yes -o 'ProxyCommand=banger ssh-proxy %h %p' web.vm",
		.run = ssh_proxy},
	{.path = "ssh-known-hosts",
		.kind = ARG_TEXT,
		.min_args = 1,
		.max_args = 1,
		.hidden = true,
		.flags = no_flags,
		.usage = "HOST",
		.summary = "print the host key of NAME.vm for ssh",
		.example = "ssh -o 'KnownHostsCommand=/usr/bin/banger ssh-known-hosts %n' web.vm",
		.run = ssh_known_hosts},
	{.path = "completion",
		.kind = ARG_SHELL,
		.min_args = 1,
		.max_args = 1,
		.flags = no_flags,
		.usage = "bash|zsh|fish",
		.summary = "print the completion script for a shell",
		.details = "It completes commands, flags, and the names of VMs, images and kernels "
			   "that "
			   "the running daemon knows; it never starts the daemon.",
		.example = "eval \"$(banger completion bash)\"\n"
			   "banger completion fish > ~/.config/fish/completions/banger.fish",
		.run = completion},
	{.path = "__complete",
		.takes_rest = true,
		.hidden = true,
		.flags = no_flags,
		.usage = "-- WORDS...",
		.summary = "tell what the last word may become",
		.example = "banger __complete -- vm st",
		.run = complete},
	{.path = "version",
		.flags = print_flags,
		.usage = "",
		.summary = "print the version, and what it works with",
		.example = "banger version",
		.run = version},
	{.path = "help",
		.kind = ARG_TEXT,
		.max_args = 3,
		.flags = no_flags,
		.usage = "[COMMAND]",
		.summary = "tell about banger, or about a command",
		.example = "banger help vm create",
		.run = help},
	{NULL},
};
