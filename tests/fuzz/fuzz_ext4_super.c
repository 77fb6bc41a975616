/* SPDX-License-Identifier: ISC */
/* A superblock and a descriptor of any bytes: refused, or numbers that cannot lead out of bounds.
 */
#include "guest/ext4_super.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[EXT4_SUPER_BYTES] = {0}, desc[EXT4_BLOCK_MAX];
	struct ext4_super s;
	struct ext4_group g;

	memcpy(bytes, data, BG_MIN(size, sizeof(bytes)));
	memset(desc, size ? data[size - 1] : 0, sizeof(desc));
	if (ext4_super_parse(bytes, &s) < 0)
		return 0;
	if (s.block_size < 1024 || s.block_size > EXT4_BLOCK_MAX)
		abort();
	if (s.groups == 0)
		return 0;
	if (s.desc_size < 32 || s.desc_size > s.block_size || s.block_size % s.desc_size)
		abort();
	for (uint32_t i = 0; i < s.groups; i += s.groups / 7 + 1)
		if (ext4_group_at(&s, i) < s.block_size)
			abort();
	ext4_group_parse(&s, desc, &g);
	if (g.free > s.group_blocks)
		abort();
	return 0;
}
