/* SPDX-License-Identifier: ISC */
/* doctor_host.c: the checks that look at the machine: programs, devices, kernel, space. They need
 * no daemon. */
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "cli/doctor.h"
#include "common/fd.h"
#include "common/landlock.h"
#include "common/program.h"
#include "common/size.h"

enum { VERSION_DEADLINE_MS = 5000, VERSION_MAX = 256 };

/* ---- programs ---- */

_noreturn_ static void exec_version(const char *path, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0 && dup2(null, 0) >= 0 && dup2(out, 1) >= 0 && dup2(null, 2) >= 0)
		(void)execl(path, path, "--version", (char *)NULL);
	_exit(127);
}

/* The first word of its first line that begins with a digit, or with v and a digit. */
static bool find_version(char *text, char ret[32])
{
	char *save = NULL;

	text[strcspn(text, "\n")] = '\0';
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		word += *word == 'v';
		if (*word < '0' || *word > '9')
			continue;
		(void)snprintf(ret, 32, "%.31s", word);
		return true;
	}
	return false;
}

bool doctor_ask_version(const char *path, char ret[32])
{
	char text[VERSION_MAX + 1] = "";
	struct pollfd pfd = {.events = POLLIN};
	int ends[2], status = -1;
	ssize_t n = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return false;
	if (pid == 0)
		exec_version(path, ends[1]);
	bg_close(ends[1]);
	pfd.fd = ends[0];
	if (poll(&pfd, 1, VERSION_DEADLINE_MS) > 0)
		n = read(ends[0], text, VERSION_MAX);
	else
		(void)kill(pid, SIGKILL);
	bg_close(ends[0]);
	(void)waitpid(pid, &status, 0);
	text[BG_MAX(n, (ssize_t)0)] = '\0';
	return n > 0 && find_version(text, ret);
}

void check_firecracker(const struct doctor *d, struct finding *f)
{
	enum finding_state bad =
		d->config->vmm == CONFIG_VMM_FIRECRACKER ? FINDING_FAIL : FINDING_WARN;
	_free_ char *path = NULL;
	char version[32];

	if (d->config->vmm == CONFIG_VMM_QEMU) {
		finding_set(f, FINDING_OK, "not needed: config.toml says vmm = \"qemu\"");
	} else if (bg_program_find(d->config->firecracker_bin, &path) < 0) {
		finding_set(f, bad, "%s is not %s", d->config->firecracker_bin,
			strchr(d->config->firecracker_bin, '/') ? "there" : "in PATH");
		finding_hint(f,
			"put a release (1.8 or newer) into PATH, or its path into %s as "
			"firecracker_bin; optional: QEMU is used instead",
			d->cli->paths.config_file);
	} else if (!doctor_ask_version(path, version)) {
		finding_set(f, bad, "%s cannot say its --version", path);
	} else if (!bg_version_at_least(version, 1, 8)) {
		/* Since then it describes its devices by ACPI, as the kernels of distributions
		 * expect. */
		finding_set(f, bad, "%s is version %s, older than 1.8: it boots few kernels", path,
			version);
		finding_hint(f, "put a newer release in its place");
	} else if (bg_streq(version, "1.16.0") || bg_streq(version, "1.16.1")) {
		/* Its pull request 6100: banger pauses VMs when the disk is nearly full. */
		finding_set(f, bad, "%s is version %s, which loses the agents of VMs that were paused",
			path, version);
		finding_hint(f, "put 1.16.2 or newer in its place");
	} else {
		finding_set(f, FINDING_OK, "%s is version %s", path, version);
	}
}

void check_qemu(const struct doctor *d, struct finding *f)
{
	enum finding_state bad = d->config->vmm == CONFIG_VMM_QEMU ? FINDING_FAIL : FINDING_WARN;
	_free_ char *path = NULL;
	char version[32];

	if (d->config->vmm == CONFIG_VMM_FIRECRACKER) {
		finding_set(f, FINDING_OK, "not needed: config.toml says vmm = \"firecracker\"");
	} else if (bg_program_find(d->config->qemu_bin, &path) < 0) {
		finding_set(f, bad, "%s is not %s", d->config->qemu_bin,
			strchr(d->config->qemu_bin, '/') ? "there" : "in PATH");
		finding_hint(f, "`sudo apt install qemu-system-x86`");
	} else if (!doctor_ask_version(path, version)) {
		finding_set(f, bad, "%s cannot say its --version", path);
	} else if (!bg_version_at_least(version, 7, 2)) {
		finding_set(f, bad, "%s is version %s, older than 7.2, the oldest that banger is "
				    "tested with", path, version);
		finding_hint(f, "put a newer release into PATH, or its path into %s as qemu_bin",
			d->cli->paths.config_file);
	} else {
		/* See tcg_accel() in daemon/driver/vmm_qemu.c. */
		finding_set(f, FINDING_OK, "%s is version %s%s", path, version,
			bg_version_at_least(version, 8, 1)
				? ""
				: "; without KVM it runs the processors of a guest in one thread "
				  "(from 8.1: one each)");
	}
}

void check_ssh(const struct doctor *d, struct finding *f)
{
	_free_ char *path = NULL;

	(void)d;
	if (bg_program_find("ssh", &path) >= 0) {
		finding_set(f, FINDING_OK, "%s", path);
		return;
	}
	finding_set(f, FINDING_WARN, "ssh is not in PATH: `banger vm ssh` needs it");
	finding_hint(f, "`sudo apt install openssh-client`");
}

/* A line "USER:start:count" or "UID:start:count", with the 65536 ids that an image can have. */
static bool has_subids(const char *file, const char *user)
{
	char line[256], uid[16];
	FILE *in = fopen(file, "re");
	bool found = false;

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)getuid());
	while (in && !found && fgets(line, sizeof(line), in)) {
		char *save = NULL, *name = strtok_r(line, ":", &save);
		const char *start = strtok_r(NULL, ":", &save),
			   *count = strtok_r(NULL, ":\n", &save);

		found = start && count && (bg_streq(name, user) || bg_streq(name, uid)) &&
			strtoul(count, NULL, 10) >= 65536;
	}
	if (in)
		(void)fclose(in);
	return found;
}

/* May this user have a user namespace? *why: the setting that says no, or "". */
static bool may_unshare(const char **why)
{
	static const struct {
		const char *path, *no, *name;
	} settings[] = {
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"kernel.apparmor_restrict_unprivileged_userns = 1"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0",
			"kernel.unprivileged_userns_clone = 0"},
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces = 0"},
	};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	(void)waitpid(pid, &status, 0);
	*why = "";
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		_free_ char *text = NULL;

		if (bg_read_file_at(AT_FDCWD, settings[i].path, 32, &text, NULL) >= 0 &&
			strncmp(text, settings[i].no, 1) == 0 && text[1] == '\n')
			*why = settings[i].name;
	}
	return pid < 0 || status == 0;
}

static bool check_namespace(struct finding *f)
{
	const char *why;

	if (may_unshare(&why))
		return true;
	finding_set(f, FINDING_WARN,
		"this user may not have a user namespace%s%s: `banger image build` needs one",
		*why ? ": " : "", why);
	finding_hint(f, "have the setting changed that forbids it (sysctl), or build images "
			"elsewhere and `banger image import` them");
	return false;
}

void check_build(const struct doctor *d, struct finding *f)
{
	_free_ char *tool = NULL, *map = NULL;
	const struct passwd *pw = getpwuid(getuid());
	const char *user = pw ? pw->pw_name : "";

	(void)d;
	if (bg_program_find("mmdebstrap", &tool) < 0 || bg_program_find("newuidmap", &map) < 0) {
		finding_set(f, FINDING_WARN, "%s is not in PATH: `banger image build` needs it",
			tool ? "newuidmap" : "mmdebstrap");
		finding_hint(f, "`sudo apt install mmdebstrap uidmap`");
	} else if (!has_subids("/etc/subuid", user) || !has_subids("/etc/subgid", user)) {
		finding_set(f, FINDING_WARN,
			"%s has no 65536 ids of its own in /etc/subuid and /etc/subgid: `banger "
			"image "
			"build` needs them",
			*user ? user : "this user");
		finding_hint(f,
			"`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
			"%s` (a range that nobody else has)",
			*user ? user : "$USER");
	} else if (check_namespace(f)) {
		finding_set(f, FINDING_OK, "%s and newuidmap, and ids for a user namespace", tool);
	}
}

/* ---- devices and kernel ---- */

void check_tun(const struct doctor *d, struct finding *f)
{
	_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)d;
	if (fd >= 0) {
		finding_set(f, FINDING_OK, "/dev/net/tun can be opened");
		return;
	}
	finding_set(f, FINDING_FAIL, "/dev/net/tun: %s", strerror(errno));
	finding_hint(f, "`sudo modprobe tun && sudo chmod 0666 /dev/net/tun`");
}

/* The agent's way to the host: Firecracker ends vsock in a unix socket, QEMU has virtio-serial. */
void check_vsock(const struct doctor *d, struct finding *f)
{
	(void)d;
	finding_set(f, FINDING_OK,
		"/dev/vhost-vsock is %s; not needed: the agent is reached by unix sockets",
		access("/dev/vhost-vsock", F_OK) == 0 ? "there" : "not there");
}

/* What each version brings: docs/privilege.md, "The seal of a VM". */
void check_landlock(const struct doctor *d, struct finding *f)
{
	int abi = bg_landlock_abi();

	(void)d;
	if (abi > 0) {
		finding_set(f, FINDING_OK,
			"version %d: VMs and workers reach no file that is not theirs", abi);
		return;
	}
	finding_set(f, FINDING_WARN,
		"the kernel has no Landlock: a guest that breaks out of QEMU or Firecracker can "
		"read and write your files");
	finding_hint(f, "boot a kernel from 5.13 on, with landlock in its lsm= list");
}

/* Without it bangerd does not start. */
void check_seccomp(const struct doctor *d, struct finding *f)
{
	const uint32_t action = SECCOMP_RET_ERRNO;

	(void)d;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) {
		finding_set(f, FINDING_OK, "bangerd, VMs and workers make only listed system calls");
		return;
	}
	finding_set(f, FINDING_FAIL, "the kernel has no seccomp filters: %s", strerror(errno));
	finding_hint(f, "boot a kernel from 4.14 on with CONFIG_SECCOMP_FILTER");
}

static bool module_loaded(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/sys/module/%s", name);
	return access(path, F_OK) == 0;
}

/*
 * Rules can be read by root alone, so this names what NAT is known to stumble over. A FORWARD
 * policy of DROP (Docker, ufw) is none of it: the helper adds what lets the guests through.
 */
void check_forward(const struct doctor *d, struct finding *f)
{
	_free_ char *text = NULL;
	const char *now;

	(void)d;
	if (bg_read_file_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &text, NULL) < 0) {
		finding_set(
			f, FINDING_WARN, "net.ipv4.ip_forward cannot be read: NAT may be refused");
		return;
	}
	now = *text == '1' ? "ip_forward is 1"
			   : "ip_forward is 0; the first VM with NAT sets it to 1";
	if (access("/run/firewalld", F_OK) == 0 || access("/usr/sbin/firewalld", X_OK) == 0) {
		finding_set(f, FINDING_WARN,
			"%s; firewalld is installed and may drop what is forwarded", now);
		finding_hint(f, "let it accept what is forwarded from and to bgr*: "
				"docs/privilege.md, \"NAT\"");
	} else if (module_loaded("iptable_filter")) {
		finding_set(f, FINDING_WARN,
			"%s; iptables-legacy is in use: with its FORWARD policy DROP, NAT is "
			"refused",
			now);
		finding_hint(f, "`sudo scripts/install-helper --legacy`");
	} else {
		finding_set(f, FINDING_OK, "%s", now);
	}
}

/* What has no locks, or no sparse files, that could be relied on: statfs(2), f_type. */
static const char *network_fs(const char *path)
{
	static const struct {
		uint32_t type;
		const char *name;
	} types[] = {{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0xfe534d42, "SMB"},
		{0x01021997, "9p"}, {0x5346414f, "AFS"}, {0x00c36400, "Ceph"}};
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((uint32_t)fs.f_type == types[i].type)
			return types[i].name;
	return NULL;
}

/* A VM's disks are sparse; an image, its kernel and some writes want room all the same. */
void check_space(const struct doctor *d, struct finding *f)
{
	const char *dir = d->cli->paths.state_dir;
	uint64_t reserve = d->config->disk_reserve_mib * MIB, free_bytes;
	char text[BG_SIZE_TEXT];
	struct statvfs vfs;

	if (statvfs(dir, &vfs) < 0 && statvfs(d->cli->paths.home, &vfs) < 0) {
		finding_set(f, FINDING_FAIL, "%s: %s", dir, strerror(errno));
		return;
	}
	if (network_fs(dir)) {
		finding_set(f, FINDING_WARN, "%s lies on a network file system (%s): locks and disks are "
					     "not safe there", dir, network_fs(dir));
		finding_hint(f, "keep it on a disk of this machine: set XDG_STATE_HOME");
		return;
	}
	free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	bg_size_print(free_bytes, text);
	if (free_bytes < reserve)
		finding_set(f, FINDING_FAIL,
			"%s free in %s, less than disk_reserve: VMs are paused", text, dir);
	else if (free_bytes < 4 * GIB)
		finding_set(f, FINDING_WARN, "%s free in %s: an image takes about one", text, dir);
	else
		finding_set(f, FINDING_OK, "%s free in %s", text, dir);
	if (f->state != FINDING_OK)
		finding_hint(f, "free some room: `banger image list`, `banger vm list`");
}

/* What systemd does with what runs when the last login session of the user has ended (loginctl(1), "Lingering"). */
void check_logout(const struct doctor *d, struct finding *f)
{
	const struct passwd *pw = getpwuid(getuid());
	char path[PATH_MAX];

	(void)d;
	if (access("/run/systemd/system", F_OK) < 0) {
		finding_set(f, FINDING_OK, "nothing here ends VMs at a logout");
		return;
	}
	(void)snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", pw ? pw->pw_name : "");
	if (pw && access(path, F_OK) >= 0) {
		finding_set(f, FINDING_OK, "VMs run on after a logout: lingering is on");
		return;
	}
	finding_set(f, FINDING_WARN,
		"lingering is off: this system may shut VMs down at your last logout");
	finding_hint(f, "`loginctl enable-linger` lets them run on");
}
