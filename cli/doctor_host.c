/* SPDX-License-Identifier: ISC */
/* doctor_host.c: the checks that look at the machine: programs, devices, kernel, space. They need
 * no daemon. */
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/doctor.h"
#include "common/fd.h"
#include "common/landlock.h"
#include "common/program.h"
#include "common/size.h"
#include "common/timefmt.h"

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
		finding_set(f, bad,
			"%s is version %s, which loses the agents of VMs that were paused", path,
			version);
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
		finding_set(f, bad,
			"%s is version %s, older than 7.2, the oldest that banger is "
			"tested with",
			path, version);
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
		finding_set(
			f, FINDING_OK, "bangerd, VMs and workers make only listed system calls");
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
			"%s; firewalld is installed: as it comes it lets no guest out", now);
		finding_hint(f, "`sudo firewall-cmd --permanent --zone=trusted "
				"--add-interface=bgr+ && sudo firewall-cmd --reload`");
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

enum { CLOCK_SLACK_S = 24 * 3600 };

/* There is no truth to compare with, but no clock can be right that is behind the making of this program. */
void check_clock(const struct doctor *d, struct finding *f)
{
	struct timex kernel = {.modes = 0};
	char now[BG_TIME_TEXT], made[BG_TIME_TEXT];
	struct stat st;

	(void)d;
	bg_time_print(time(NULL), now);
	if (stat("/proc/self/exe", &st) >= 0 && time(NULL) < st.st_mtime - CLOCK_SLACK_S) {
		finding_set(f, FINDING_WARN,
			"it says %s, and this program was made at %s: certificates and packages "
			"count as "
			"not yet valid, also in VMs",
			now, bg_time_print(st.st_mtime, made));
		finding_hint(f, "`sudo timedatectl set-ntp true`");
	} else {
		finding_set(f, FINDING_OK, "it says %s%s", now,
			adjtimex(&kernel) >= 0 && !(kernel.status & STA_UNSYNC)
				? ", kept by time synchronization"
				: "");
	}
}

/* What has no locks, or no sparse files, that could be relied on: statfs(2), f_type. */
static const char *network_fs(const char *path)
{
	static const struct {
		uint32_t type;
		const char *name;
	} types[] = {{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0xfe534d42, "SMB"}, {0x01021997, "9p"},
		{0x5346414f, "AFS"}, {0x00c36400, "Ceph"}};
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((uint32_t)fs.f_type == types[i].type)
			return types[i].name;
	return NULL;
}

enum { HOLE = 1 << 20 };

/* Does a file that is all hole count as data there? Copies are by SEEK_DATA, and would be full. Where it cannot be tried it does not. */
static bool fills_holes(const char *dir)
{
	_free_ char *path = NULL;
	_close_ int fd = -1;

	if (asprintf(&path, "%s/.doctor-XXXXXX", dir) < 0 || (fd = mkostemp(path, O_CLOEXEC)) < 0)
		return false;
	(void)unlink(path);
	return ftruncate(fd, HOLE) >= 0 && lseek(fd, 0, SEEK_DATA) >= 0;
}

static bool is_bad_place(const char *dir, struct finding *f)
{
	if (network_fs(dir))
		finding_set(f, FINDING_WARN,
			"%s lies on a network file system (%s): locks and disks are "
			"not safe there",
			dir, network_fs(dir));
	else if (fills_holes(dir))
		finding_set(f, FINDING_WARN,
			"%s lies on a file system without sparse files: each disk of a VM "
			"takes its full size at once",
			dir);
	else
		return false;
	finding_hint(
		f, "keep it on a disk of this machine, on ext4, btrfs or xfs: set XDG_STATE_HOME");
	return true;
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
	if (is_bad_place(dir, f))
		return;
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
	f->fix = FIX_LINGER;
}
