/* SPDX-License-Identifier: ISC */
/* limits.h: every bound that crosses a border, with its unit and its reason. */
#ifndef BG_COMMON_LIMITS_H
#define BG_COMMON_LIMITS_H

/* bytes of a VM, image or kernel name: fits a DNS label (63) with room */
#define BG_NAME_MAX 40
#define BG_ID_LEN   32 /* hex digits of a 128-bit VM id */
/* bytes of a unix socket path: sockaddr_un.sun_path less the NUL */
#define BG_SUN_PATH_MAX 107

#define BG_VCPU_MIN	  1
#define BG_VCPU_MAX	  32  /* Firecracker's own maximum */
#define BG_MEMORY_MIB_MIN 128 /* a Debian guest does not boot in less */
#define BG_MEMORY_MIB_MAX (1024 * 1024)
#define BG_DISK_MIB_MIN	  16
#define BG_DISK_MIB_MAX	  (16 * 1024 * 1024) /* 16 TiB: ext4 with 4 KiB blocks */

#define BG_PUBLISH_MAX 16 /* ports of one VM */
/* at once to one published port: 128 KiB and two descriptors each */
#define BG_RELAY_CONNECTIONS_MAX 256
#define BG_EXPOSE_MAX		 16 /* ports of the host that one VM is given */
/* at once to all of them, waiting ones too: half of the sessions that an agent has */
#define BG_EXPOSE_CONNECTIONS_MAX 32
#define BG_LABELS_MAX		  32  /* of one VM */
#define BG_LABEL_KEY_MAX	  63  /* bytes */
#define BG_LABEL_VALUE_MAX	  255 /* bytes */

#define BG_HTTP_BODY_MAX   (1024 * 1024) /* bytes of an API request body */
#define BG_HTTP_HEADER_MAX (16 * 1024)
#define BG_HTTP_REPLY_MAX  (16 * 1024 * 1024) /* bytes of an answer that a client reads whole */
#define BG_JOB_MSG_MAX	   (64 * 1024)	      /* bytes of one worker datagram */
#define BG_JOB_FDS_MAX	   8 /* descriptors that a job's row in job_table.def names */
/* layers of one container image: overlayfs and Docker stop at 127 or 128 */
#define BG_LAYERS_MAX 128
/* one SCM_RIGHTS message carries 253 */
#define BG_JOB_ALL_FDS_MAX (BG_JOB_FDS_MAX + BG_LAYERS_MAX)
/* bytes of address space of a worker: xz and zstd windows plus two million names */
#define BG_JOB_MEMORY_MAX (1024ULL * 1024 * 1024)
#define BG_MODULE_MAX	  (64 * 1024 * 1024)	      /* bytes of one unpacked kernel module */
#define BG_KERNEL_MAX	  (512ULL * 1024 * 1024)      /* bytes of a kernel image, packed or not */
#define BG_MODULES_MAX	  (8ULL * 1024 * 1024 * 1024) /* bytes of a module tree */
/* bytes of a container image's environment: fits, escaped, a worker's datagram */
#define BG_IMAGE_ENV_MAX      (8 * 1024)
#define BG_IMAGE_PACKAGES_MAX 512     /* names of one image build */
#define BG_IMAGE_ENTRIES_MAX  2000000 /* files of one image */
/* bytes of content of an image whose size was not given */
#define BG_IMAGE_MAX  (64ULL * 1024 * 1024 * 1024)
#define BG_CONFIG_MAX (256 * 1024) /* bytes of config.toml */

#define BG_BOOT_TIMEOUT_MAX_S 3600
/* default of boot_timeout (host/config_keys.def) is 180 s: VMM start to guest ready; software emulation on a busy machine needs most of it */
#define BG_STOP_TIMEOUT_S 60 /* shutdown request to VMM exit, then it is killed */
/* all of an image build: a mirror that gives nothing more, a maintainer script that asks */
#define BG_BUILD_TIMEOUT_S 7200
/* at once; each holds one of the workers for what takes long, and of the monitor's bootstraps */
#define BG_BUILDS_MAX	   3
#define BG_SETUP_TIMEOUT_S 1800 /* a package manager in the guest, slow in software */
#define BG_KILL_TIMEOUT_S  10

/* bytes on the disk of a console's or VMM's log: a guest decides what it says */
#define BG_VM_LOG_MAX  (16 * 1024 * 1024)
#define BG_VM_LOG_KEEP (8 * 1024 * 1024) /* bytes at its end that are kept when it is more */

/* bytes of bangerd.log and of worker.log; the last one of each is kept beside */
#define BG_LOG_MAX (8 * 1024 * 1024)

#define BG_SLOTS_MAX	  64  /* network slots a user can ever have: one bit each in a u64 */
#define BG_BOOTS_MAX	  64  /* guests that boot at once: there are no more network slots */
#define BG_TAP_POOL_MAX	  16  /* taps kept ready: more than one burst of starts never needs */
#define BG_PRIV_USERS_MAX 256 /* user indexes of the network helper: one /24 each in a /16 */
/* bytes of a base that is shared by device-mapper: the kernel keeps up to 1% of it in memory per disk */
#define BG_DISK_BASE_MAX (32ULL * 1024 * 1024 * 1024)
#define BG_PRIV_FDS_MAX	 4   /* descriptors in one helper datagram */
#define BG_PRIV_MSG_MAX	 256 /* bytes of one helper datagram, head included */

#define BG_PAGE_SIZE 4096

#endif
