/* SPDX-License-Identifier: ISC */
/*
 * QEMU's microvm machine: virtio-mmio devices, found by the guest through ACPI. The guest names
 * disks by the order it finds them in, so that every device is given its transport explicitly.
 */
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "common/agent_proto.h"
#include "common/disk_layout.h"
#include "common/json.h"
#include "common/program.h"
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"

#define AGENT_SOCKET "agent.sock"
#define QMP_ID	     "banger"

/*
 * Translated code of a guest in emulation. Without a bound of ours QEMU takes up to 1 GiB, of the host's, for each VM; a
 * full cache is emptied and filled again. docs/performance.md has what was measured.
 */
enum { CODE_CACHE_MIB = 128 };

/*
 * panic=10: a guest that panics shows why on its console and boots again, as a server would;
 * `reboot` inside boots in place, in the same process. i8042: the machine has none, and probing for
 * it takes a second.
 */
#define QEMU_CMDLINE                                                                               \
	"console=ttyS0 reboot=t panic=10 quiet net.ifnames=0 random.trust_cpu=on i8042.noaux "     \
	"i8042.nokbd i8042.nopnp i8042.nomux i8042.dumbkbd"

/*
 * Before 8.1, emulation by a thread per processor can lose a write to code that another processor
 * is translating just then: the old instruction stays. Linux patches itself all the time (static
 * keys), and a breakpoint that stays where it was removed is taken for ever: both processors spin.
 * About one boot in a hundred ended so. One thread for all processors has no such moment.
 */
static const char *tcg_accel(const struct vmm_spec *spec)
{
	return spec->vcpus == 1 || bg_version_at_least(spec->version, 8, 1) ? "tcg,thread=multi"
									    : "tcg,thread=single";
}

/* What the guest is told of its clock; 0: it knows better (KVM), or we do not know. */
static unsigned tsc_khz(const struct vmm_spec *spec)
{
	return spec->accel == VMM_ACCEL_TCG ? vmm_tsc_khz() : 0;
}

/* A file of ours (vmm_make_memory), so that the memory can be kept without QEMU's writing it anywhere. */
static void add_memory(struct argv *argv, const struct vmm_spec *spec)
{
	argv_add(argv, "-object");
	argv_add(argv,
		"memory-backend-file,id=ram,share=on,mem-path=/proc/self/fd/%d,size=%" PRIu64 "M",
		VMM_QEMU_MEMORY, spec->memory_mib);
}

static void add_machine(struct argv *argv, const struct vmm_spec *spec)
{
	argv_add(argv, "-M");
	/* No kernel with ACPI's reduced hardware, as a microvm has it, stops the old timer (pit):
	 * it would wake QEMU 36 times a second for nobody. A kernel that is not told the TSC's rate
	 * measures it by that timer, and hangs without. */
	argv_add(argv,
		"microvm,acpi=on,pit=%s,rtc=on,graphics=off,usb=off,x-option-roms=off,auto-kernel-"
		"cmdline=off,memory-backend=ram",
		tsc_khz(spec) > 0 ? "off" : "auto");
	argv_add(argv, "-global");
	argv_add(argv, "virtio-mmio.force-legacy=false");
	argv_add(argv, "-accel");
	if (spec->accel == VMM_ACCEL_KVM)
		argv_add(argv, "kvm");
	else
		argv_add(argv, "%s,tb-size=%d", tcg_accel(spec), CODE_CACHE_MIB);
	argv_add(argv, "-cpu");
	argv_add(argv, spec->accel == VMM_ACCEL_KVM ? "host" : "max");
	argv_add(argv, "-smp");
	argv_add(argv, "%u", spec->vcpus);
	argv_add(argv, "-m");
	argv_add(argv, "%" PRIu64 "M", spec->memory_mib);
	add_memory(argv, spec);
}

static void add_boot(struct argv *argv, const struct vmm_spec *spec)
{
	unsigned khz = tsc_khz(spec);

	argv_add(argv, "-kernel");
	argv_add(argv, "%s", spec->kernel);
	argv_add(argv, "-initrd");
	argv_add(argv, "%s", spec->initrd);
	argv_add(argv, "-append");
	/* KVM guests know their clock. Emulated ones have no timer that they could measure it by:
	 * vmm_tsc.c. */
	if (khz > 0)
		argv_add(argv, "%s tsc=reliable tsc_early_khz=%u", QEMU_CMDLINE, khz);
	else
		argv_add(argv, "%s", QEMU_CMDLINE);
}

/* A descriptor that QEMU was started with, as a file name: sets are numbered by their descriptor.
 */
static void add_fd(struct argv *argv, enum vmm_qemu_fd fd)
{
	argv_add(argv, "-add-fd");
	argv_add(argv, "fd=%d,set=%d", fd, fd);
}

static void add_serial(struct argv *argv)
{
	add_fd(argv, VMM_QEMU_SERIAL);
	argv_add(argv, "-chardev");
	argv_add(argv, "file,id=console,append=on,path=/dev/fdset/%d", VMM_QEMU_SERIAL);
	argv_add(argv, "-serial");
	argv_add(argv, "chardev:console");
}

/* path only says what kind of file it is. */
static int add_disk(struct argv *argv, const char *node, const char *path, enum vmm_qemu_fd fd,
	unsigned bus, bool read_only)
{
	bool device = strncmp(path, BG_DISK_NODE_DIR "/", sizeof(BG_DISK_NODE_DIR)) == 0;
	_json_ json_t *dev = json_pack("{s:s, s:s, s:b, s:s, s:s, s:{s:s, s:o, s:s}}", "driver",
		"raw", "node-name", node, "read-only", read_only, "discard",
		read_only ? "ignore" : "unmap", "detect-zeroes", read_only ? "off" : "unmap",
		"file", "driver", device ? "host_device" : "file", "filename",
		json_sprintf("/dev/fdset/%d", fd), "locking", "on");
	_free_ char *text = NULL;

	/* Not cached here: what waits in the host's cache would want room after a pause. */
	if (dev && device)
		json_object_set_new(dev, "cache", json_pack("{s:b}", "direct", true));
	text = dev ? json_dumps(dev, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	add_fd(argv, fd);
	argv_add(argv, "-blockdev");
	argv_add(argv, "%s", text);
	argv_add(argv, "-device");
	argv_add(argv, "virtio-blk-device,drive=%s,serial=%s,bus=virtio-mmio-bus.%u", node, node,
		bus);
	return 0;
}

/*
 * The guest enumerates transports from the highest address down (QEMU writes its ACPI table in that
 * order): bus 23 is found first, vmm_guest_disk.
 */
enum {
	BUS_DISKS = 23, /* and down to 20 */
	BUS_SERIAL = 19,
	BUS_RNG = 18,
	BUS_NET = 17,
	BUS_BALLOON = 16
};

static int add_disks(struct argv *argv, const struct vmm_spec *spec)
{
	unsigned bus = BUS_DISKS;
	int r = 0;

	if (spec->disk_base)
		r = add_disk(argv, "base", spec->disk_base, VMM_QEMU_BASE, bus--, true);
	if (r >= 0)
		r = add_disk(argv, "root", spec->disk_root, VMM_QEMU_ROOT, bus--, false);
	if (r >= 0 && spec->disk_work)
		r = add_disk(argv, "work", spec->disk_work, VMM_QEMU_WORK, bus--, false);
	if (r >= 0 && spec->disk_modules)
		r = add_disk(argv, "modules", spec->disk_modules, VMM_QEMU_MODULES, bus, true);
	return r;
}

static void add_net(struct argv *argv, const struct vmm_spec *spec)
{
	const uint8_t *m = spec->mac;

	if (!spec->tap)
		return;
	argv_add(argv, "-netdev");
	argv_add(argv, "tap,id=net0,fd=%d", VMM_QEMU_TAP);
	argv_add(argv, "-device");
	argv_add(argv,
		"virtio-net-device,netdev=net0,mac=%02x:%02x:%02x:%02x:%02x:%02x,bus=virtio-mmio-"
		"bus.%u",
		m[0], m[1], m[2], m[3], m[4], m[5], (unsigned)BUS_NET);
}

static void add_agent(struct argv *argv)
{
	argv_add(argv, "-chardev");
	argv_add(argv, "socket,id=agent,server=on,wait=off,fd=%d", VMM_QEMU_AGENT);
	argv_add(argv, "-device");
	argv_add(argv, "virtio-serial-device,id=serial0,max_ports=2,bus=virtio-mmio-bus.%u",
		(unsigned)BUS_SERIAL);
	argv_add(argv, "-device");
	argv_add(argv, "virtserialport,bus=serial0.0,chardev=agent,name=%s", BG_AGENT_PORT);
	argv_add(argv, "-chardev");
	argv_add(argv, "socket,id=qmp,server=on,wait=off,fd=%d", VMM_QEMU_QMP);
	argv_add(argv, "-mon");
	argv_add(argv, "chardev=qmp,mode=control");
	argv_add(argv, "-device");
	argv_add(argv, "virtio-rng-device,bus=virtio-mmio-bus.%u", (unsigned)BUS_RNG);
}

/*
 * The balloon stays empty: it is there for the guest's reports of pages that it has no use for, which
 * QEMU takes out of its memory. A page that the guest touches again is a new one.
 */
static void add_balloon(struct argv *argv, const struct vmm_spec *spec)
{
	if (!spec->balloon)
		return;
	argv_add(argv, "-device");
	argv_add(argv,
		"virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on,bus=virtio-mmio-"
		"bus.%u",
		(unsigned)BUS_BALLOON);
}

int vmm_qemu_argv(const struct vmm_spec *spec, struct argv *argv, struct bg_err **err)
{
	char tag[VMM_TAG_SIZE];
	int r;

	vmm_tag(spec->id, tag);
	argv_add(argv, "%s", spec->binary);
	argv_add(argv, "-name");
	argv_add(argv, "%s", tag);
	add_machine(argv, spec);
	argv_add(argv, "-nodefaults");
	argv_add(argv, "-no-user-config");
	argv_add(argv, "-display");
	argv_add(argv, "none");
	argv_add(argv, "-sandbox");
	argv_add(argv, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_boot(argv, spec);
	add_serial(argv);
	r = add_disks(argv, spec);
	add_agent(argv);
	add_net(argv, spec);
	add_balloon(argv, spec);
	if (spec->kept) {
		argv_add(argv, "-S");
		argv_add(argv, "-incoming");
		argv_add(argv, "defer");
	}
	if (r < 0 || !argv_finish(argv))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return 0;
}

/* Ours until QEMU has its copies; the tap stays, vmm.h. */
struct handed {
	int fd[VMM_QEMU_FD_MAX_];
	uint64_t bytes; /* of the largest disk */
};

static void handed_done(struct handed *h)
{
	for (unsigned i = 0; i < VMM_QEMU_FD_MAX_; i++)
		bg_close(h->fd[i]);
}

static int open_disks(const struct vmm_spec *spec, struct handed *h, struct bg_err **err)
{
	int *fd = h->fd;
	int r = fd[VMM_QEMU_ROOT] = vmm_open_disk(spec->disk_root, true, &h->bytes, err);

	if (r >= 0 && spec->disk_base)
		r = fd[VMM_QEMU_BASE] = vmm_open_disk(spec->disk_base, false, &h->bytes, err);
	if (r >= 0 && spec->disk_work)
		r = fd[VMM_QEMU_WORK] = vmm_open_disk(spec->disk_work, true, &h->bytes, err);
	if (r >= 0 && spec->disk_modules)
		r = fd[VMM_QEMU_MODULES] = vmm_open_disk(spec->disk_modules, false, &h->bytes, err);
	return r;
}

static int take_memory(const struct vmm_spec *spec, struct bg_err **err)
{
	int fd;

	if (!spec->kept)
		return vmm_make_memory(spec->memory_mib, err);
	fd = fcntl(spec->kept->memory, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? bg_err_sys(err, BG_ERR_VMM_FAILED, errno, "hand on the guest's memory")
		      : fd;
}

static int open_rest(const struct vmm_spec *spec, struct handed *h, struct bg_err **err)
{
	int *fd = h->fd;
	int r = fd[VMM_QEMU_AGENT] = vmm_listen(spec->run_dir, AGENT_SOCKET, err);

	if (r >= 0)
		r = fd[VMM_QEMU_QMP] = vmm_listen(spec->run_dir, VMM_QMP_SOCKET, err);
	if (r >= 0)
		r = fd[VMM_QEMU_SERIAL] = vmm_open_log(spec->serial_log, err);
	if (r >= 0)
		r = fd[STDERR_FILENO] = vmm_open_log(spec->vmm_log, err);
	if (r >= 0)
		r = fd[VMM_QEMU_MEMORY] = take_memory(spec, err);
	if (r >= 0 && spec->tap)
		r = fd[VMM_QEMU_TAP] = vmm_open_tap(spec->tap, err);
	return r;
}

static int qemu_spawn(const struct vmm_spec *spec, struct vmm_process *ret, struct bg_err **err)
{
	struct spawn spawn = {.n_fds = VMM_QEMU_FD_MAX_};
	_cleanup_(handed_done) struct handed h;
	_argv_ struct argv argv = {0}, launcher = {0};
	int r;

	static_assert((int)VMM_QEMU_FD_MAX_ <= SPAWN_FDS_MAX, "room for all descriptors");
	memset(h.fd, 0xff, sizeof(h.fd)); /* all -1 */
	h.bytes = 0;
	r = vmm_qemu_argv(spec, &argv, err);
	if (r >= 0)
		r = open_disks(spec, &h, err);
	if (r >= 0)
		r = open_rest(spec, &h, err);
	if (r >= 0)
		r = vmm_launch_begin(&launcher, spec, h.bytes, err);
	if (r < 0)
		return r;
	memcpy(spawn.fd, h.fd, sizeof(h.fd));
	spawn.fd[STDOUT_FILENO] = h.fd[STDERR_FILENO];
	spawn.fd[BG_LAUNCH_FD_FILTER] = r = vmm_seal_filter(VMM_SEAL_QEMU, err);
	if (r >= 0)
		r = vmm_launch(&launcher, &argv, &spawn, ret, err);
	if (r >= 0)
		ret->tap = TAKE_FD(h.fd[VMM_QEMU_TAP]);
	return r;
}

static int is_ours(const json_t *msg, struct bg_err **err)
{
	const char *id = NULL;

	(void)err;
	(void)bg_json_get_str(msg, "id", &id);
	return json_object_get(msg, "return") && bg_streq(id, QMP_ID) ? 1 : 0;
}

static int qmp_answer(struct vmm_call *call, const char *input, size_t len, size_t *ret_consumed,
	struct bg_err **err)
{
	return vmm_qmp_lines(call, input, len, ret_consumed, is_ours, err);
}

static const struct vmm_dialog qmp_dialog = {.socket = VMM_QMP_SOCKET, .answer = qmp_answer};

static int qemu_command(struct vmm *vmm, enum vmm_command command, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	static const char *const words[] = {
		[VMM_PAUSE] = "stop", [VMM_RESUME] = "cont", [VMM_QUERY] = "query-status"};
	char *request = NULL;

	if (asprintf(&request,
		    "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"%s\",\"id\":\"%s\"}\n",
		    words[command], QMP_ID) < 0)
		request = NULL;
	return vmm_call_start(
		vmm_loop(vmm), vmm_run_dir(vmm), &qmp_dialog, request, done, userdata, ret, err);
}

/* The node's name is the disk's. QEMU makes the file that long, which it is. */
static int qemu_resize(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
	vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	char *request = NULL;

	(void)path;
	if (asprintf(&request,
		    "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"block_resize\","
		    "\"arguments\":"
		    "{\"node-name\":\"%s\",\"size\":%" PRIu64 "},\"id\":\"%s\"}\n",
		    disk, bytes, QMP_ID) < 0)
		request = NULL;
	return vmm_call_start(
		vmm_loop(vmm), vmm_run_dir(vmm), &qmp_dialog, request, done, userdata, ret, err);
}

const struct vmm_driver vmm_qemu = {
	.name = "qemu",
	.holds_term = true,
	.code_cache_mib = CODE_CACHE_MIB,
	.agent = "virtio",
	.poweroff = "off",
	.agent_socket = AGENT_SOCKET,
	.spawn = qemu_spawn,
	.resize = qemu_resize,
	.command = qemu_command,
	.memory_fd = VMM_QEMU_MEMORY,
	.machine = vmm_qemu_machine,
	.save = vmm_qemu_save,
	.load = vmm_qemu_load,
};
