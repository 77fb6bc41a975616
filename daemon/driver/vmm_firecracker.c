/* SPDX-License-Identifier: ISC */
/*
 * Firecracker, started whole from a configuration file, so that no API call is on the start path.
 * The API socket is for pause and resume. Needs Firecracker 1.4 (entropy device). Field names: its
 * swagger; unknown ones are refused there. The guest's console is Firecracker's standard output.
 */
#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>

#include "common/disk_layout.h"
#include "common/fd.h"
#include "common/json.h"
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"

#define API_SOCKET   "api.sock"
#define VSOCK_SOCKET "vsock.sock"
#define CONFIG_FILE  "firecracker.json"

/* Every guest has a host of its own to talk to: the number is never seen outside its process. */
enum { GUEST_CID = 3 };

/* reboot=k: Firecracker ends at the i8042 reset, its only way down; hence no probing of its other
 * parts. */
#define FC_CMDLINE                                                                                 \
	"console=ttyS0 reboot=k panic=-1 quiet net.ifnames=0 pci=off random.trust_cpu=on "         \
	"i8042.noaux "                                                                             \
	"i8042.nokbd "                                                                             \
	"i8042.nopnp i8042.nomux i8042.dumbkbd"

/* Steals nothing: the caller appends. is_root_device would put root= on the command line: our init
 * mounts. */
static int add_drive(json_t *drives, const char *id, const char *path, bool read_only)
{
	return json_array_append_new(
		drives, json_pack("{s:s, s:o, s:b, s:b, s:s}", "drive_id", id, "path_on_host",
				bg_json_str(path), "is_root_device", 0, "is_read_only", read_only,
				"cache_type", "Writeback"));
}

static json_t *make_drives(const struct vmm_spec *spec)
{
	_json_ json_t *drives = json_array();

	if (!drives)
		return NULL;
	if (spec->disk_base && add_drive(drives, "base", spec->disk_base, true) < 0)
		return NULL;
	if (add_drive(drives, "root", spec->disk_root, false) < 0)
		return NULL;
	if (spec->disk_work && add_drive(drives, "work", spec->disk_work, false) < 0)
		return NULL;
	if (spec->disk_modules && add_drive(drives, "modules", spec->disk_modules, true) < 0)
		return NULL;
	return TAKE_PTR(drives);
}

static json_t *make_nets(const struct vmm_spec *spec)
{
	_json_ json_t *nets = json_array();
	const uint8_t *m = spec->mac;
	char mac[18];

	if (!nets || !spec->tap)
		return TAKE_PTR(nets);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		m[5]);
	if (json_array_append_new(nets, json_pack("{s:s, s:s, s:s}", "iface_id", "eth0",
						"guest_mac", mac, "host_dev_name", spec->tap)) < 0)
		return NULL;
	return TAKE_PTR(nets);
}

/* It stays empty: for the guest's reports of free pages alone. -1: out of memory. */
static int add_balloon(json_t *config, const struct vmm_spec *spec)
{
	if (!config || !spec->balloon)
		return 0;
	return json_object_set_new(config, "balloon",
		json_pack("{s:i, s:b, s:i, s:b}", "amount_mib", 0, "deflate_on_oom", 1,
			"stats_polling_interval_s", 0, "free_page_reporting", 1));
}

int vmm_firecracker_config(const struct vmm_spec *spec, char **ret, struct bg_err **err)
{
	_free_ char *vsock = NULL, *text = NULL;
	_json_ json_t *config = NULL;
	int r = vmm_socket_path(spec->run_dir, VSOCK_SOCKET, &vsock, err);

	if (r < 0)
		return r;
	config = json_pack("{s:{s:o, s:o, s:s}, s:{s:i, s:I}, s:o, s:o, s:{s:i, s:o}, s:{}}",
		"boot-source", "kernel_image_path", bg_json_str(spec->kernel), "initrd_path",
		bg_json_str(spec->initrd), "boot_args", FC_CMDLINE, "machine-config", "vcpu_count",
		(int)spec->vcpus, "mem_size_mib", (json_int_t)spec->memory_mib, "drives",
		make_drives(spec), "network-interfaces", make_nets(spec), "vsock", "guest_cid",
		GUEST_CID, "uds_path", bg_json_str(vsock), "entropy");
	text = config && add_balloon(config, spec) >= 0 ? json_dumps(config, JSON_INDENT(2)) : NULL;
	if (!text)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*ret = TAKE_PTR(text);
	return 0;
}

static int write_config(const struct vmm_spec *spec, char **ret_path, struct bg_err **err)
{
	_free_ char *path = NULL, *text = NULL;
	int r = vmm_firecracker_config(spec, &text, err);

	if (r < 0)
		return r;
	if (asprintf(&path, "%s/" CONFIG_FILE, spec->run_dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = bg_put_file_at(AT_FDCWD, path, text, strlen(text), 0600);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "write %s", path);
	*ret_path = TAKE_PTR(path);
	return 0;
}

static int make_argv(
	const struct vmm_spec *spec, const char *config, struct argv *argv, struct bg_err **err)
{
	_free_ char *api = NULL;
	char tag[VMM_TAG_SIZE];
	int r = vmm_socket_path(spec->run_dir, API_SOCKET, &api, err);

	if (r < 0)
		return r;
	vmm_tag(spec->id, tag);
	argv_add(argv, "%s", spec->binary);
	argv_add(argv, "--id");
	argv_add(argv, "%s", tag);
	argv_add(argv, "--api-sock");
	argv_add(argv, "%s", api);
	argv_add(argv, "--config-file");
	argv_add(argv, "%s", config);
	argv_add(argv, "--log-path");
	argv_add(argv, "%s", spec->vmm_log);
	argv_add(argv, "--level");
	argv_add(argv, "Warn");
	return argv_finish(argv) ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int grant_disk(
	struct argv *argv, const char *path, bool write, uint64_t *bytes, struct bg_err **err)
{
	_close_ int fd = vmm_open_disk(path, write, bytes, err);
	bool device = strncmp(path, BG_DISK_NODE_DIR "/", sizeof(BG_DISK_NODE_DIR)) == 0;

	if (fd < 0)
		return fd;
	vmm_grant(argv, !write ? BG_LAUNCH_READ : device ? BG_LAUNCH_DEVICE : BG_LAUNCH_DISK, path);
	return 0;
}

/* It opens everything by name: this VM's files one by one, and the folder of its sockets. */
static int make_launcher(
	const struct vmm_spec *spec, const char *config, struct argv *argv, struct bg_err **err)
{
	_argv_ struct argv disks = {0};
	uint64_t bytes = 0;
	int r = grant_disk(&disks, spec->disk_root, true, &bytes, err);

	if (r >= 0 && spec->disk_base)
		r = grant_disk(&disks, spec->disk_base, false, &bytes, err);
	if (r >= 0 && spec->disk_work)
		r = grant_disk(&disks, spec->disk_work, true, &bytes, err);
	if (r >= 0 && spec->disk_modules)
		r = grant_disk(&disks, spec->disk_modules, false, &bytes, err);
	if (r >= 0)
		r = vmm_launch_begin(argv, spec, bytes, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < disks.n; i++)
		argv_add(argv, "%s", disks.v[i]);
	argv->failed |= disks.failed;
	vmm_grant(argv, BG_LAUNCH_READ, config);
	vmm_grant(argv, BG_LAUNCH_LOG, spec->vmm_log);
	vmm_grant(argv, BG_LAUNCH_SOCKETS, spec->run_dir);
	if (spec->tap)
		vmm_grant(argv, BG_LAUNCH_DEVICE, "/dev/net/tun");
	return 0;
}

static int firecracker_spawn(
	const struct vmm_spec *spec, struct vmm_process *ret, struct bg_err **err)
{
	struct spawn spawn = {.fd = {-1}, .n_fds = BG_LAUNCH_FD_FIRST};
	_argv_ struct argv argv = {0}, launcher = {0};
	_close_ int log = -1, serial = -1;
	_free_ char *config = NULL;
	int r = write_config(spec, &config, err);

	if (r >= 0)
		r = make_argv(spec, config, &argv, err);
	if (r >= 0)
		r = vmm_clear_socket(spec->run_dir, API_SOCKET, err);
	if (r >= 0)
		r = vmm_clear_socket(spec->run_dir, VSOCK_SOCKET, err);
	if (r < 0)
		return r;
	log = vmm_open_log(spec->vmm_log, err);
	if (log < 0)
		return log;
	serial = vmm_open_log(spec->serial_log, err);
	if (serial < 0)
		return serial;
	r = make_launcher(spec, config, &launcher, err); /* the log is there by now */
	if (r < 0)
		return r;
	spawn.fd[1] = serial;
	spawn.fd[2] = log;
	spawn.fd[BG_LAUNCH_FD_FILTER] = r = vmm_seal_filter(VMM_SEAL_FIRECRACKER, err);
	return r < 0 ? r : vmm_launch(&launcher, &argv, &spawn, ret, err);
}

/* The reason in {"fault_message": "…"}, or the status line. */
static int api_refusal(
	const char *input, size_t len, const char *body, unsigned status, struct bg_err **err)
{
	_json_ json_t *msg =
		json_loadb(body, len - (size_t)(body - input), JSON_DISABLE_EOF_CHECK, NULL);
	const char *text = "no reason given";

	(void)bg_json_get_str(msg, "fault_message", &text);
	return bg_err_set(err, BG_ERR_VMM_FAILED, EIO,
		"Firecracker refused a command (status %u): %s", status, text);
}

/* Headers are enough for success (204); a refusal is waited for until its body, which names its
 * length. */
static int api_answer(struct vmm_call *call, const char *input, size_t len, size_t *ret_consumed,
	struct bg_err **err)
{
	const char *end = memmem(input, len, "\r\n\r\n", 4), *body;
	_free_ char *head = NULL;
	const char *length;
	unsigned status;

	if (!end)
		return 0;
	body = end + 4;
	head = strndup(input, (size_t)(body - input));
	if (!head || sscanf(head, "HTTP/1.%*1d %3u", &status) != 1)
		return bg_err_set(err, BG_ERR_VMM_FAILED, EPROTO,
			"Firecracker's control socket speaks no HTTP");
	if (status >= 200 && status < 300)
		return 1;
	length = strcasestr(head, "\r\nContent-Length:");
	if (length && strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) >
			      len - (size_t)(body - input))
		return 0;
	return api_refusal(input, len, body, status, err);
}

static const struct vmm_dialog api_dialog = {
	.socket = API_SOCKET, .speaks_first = true, .answer = api_answer};

/* body is borrowed. */
static int api_patch(struct vmm *vmm, const char *path, const char *body, vmm_done_fn done,
	void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	char *request = NULL;

	if (asprintf(&request,
		    "PATCH %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		    "Accept: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		    path, strlen(body), body) < 0)
		request = NULL;
	return vmm_call_start(
		vmm_loop(vmm), vmm_run_dir(vmm), &api_dialog, request, done, userdata, ret, err);
}

static int firecracker_command(struct vmm *vmm, enum vmm_command command, vmm_done_fn done,
	void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	if (command == VMM_QUERY)
		return vmm_call_start(vmm_loop(vmm), vmm_run_dir(vmm), &api_dialog,
			strdup("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), done, userdata, ret,
			err);
	return api_patch(vmm, "/vm",
		command == VMM_PAUSE ? "{\"state\":\"Paused\"}" : "{\"state\":\"Resumed\"}", done,
		userdata, ret, err);
}

/* The same file again: Firecracker looks at its size anew and tells the guest. */
static int firecracker_resize(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
	vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	_json_ json_t *record =
		json_pack("{s:s, s:o}", "drive_id", disk, "path_on_host", bg_json_str(path));
	_free_ char *body = record ? json_dumps(record, JSON_COMPACT) : NULL;
	char target[32];

	(void)bytes;
	if (!body)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	snprintf(target, sizeof(target), "/drives/%s", disk);
	return api_patch(vmm, target, body, done, userdata, ret, err);
}

const struct vmm_driver vmm_firecracker = {
	.name = "firecracker",
	.holds_term = true,
	.agent = "vsock",
	.poweroff = "reset",
	.agent_socket = VSOCK_SOCKET,
	.boots_elf_only = true, /* bzImage since 1.17 only */
	.balloon_since = {1, 14},
	.reset_ends = true,
	.spawn = firecracker_spawn,
	.resize = firecracker_resize,
	.command = firecracker_command,
	.why_not_keep = "banger suspends VMs under QEMU only; under Firecracker they can be paused",
};
