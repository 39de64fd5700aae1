/* SHA-256 (FIPS 180-4) and firmware in two slots: docs/wire.md, section 6.5. */
#include "edx.h"

#include <string.h>

#define HEADER 32
#define MAGIC 0x96F3B83Du
#define TLV_MAGIC 0x6907u
#define TLV_SHA256 0x10u
enum { NO_MEMORY = 2, INVALID = 3, CORRUPT = 9 };

static const uint32_t K[64] = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
};

static uint32_t turned(uint32_t x, unsigned by)
{
    return x >> by | x << (32 - by);
}

static void block(edx_sha256 *sha)
{
    uint32_t w[16], v[8];
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t *b = sha->block + 4 * i;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    memcpy(v, sha->state, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        if (i >= 16) {
            const uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
            w[i & 15] += (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + w[(i + 9) & 15] +
                         (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        }
        const uint32_t t1 = v[7] + (turned(v[4], 6) ^ turned(v[4], 11) ^ turned(v[4], 25)) +
                            ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i & 15];
        const uint32_t t2 = (turned(v[0], 2) ^ turned(v[0], 13) ^ turned(v[0], 22)) +
                            ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++) {
        sha->state[i] += v[i];
    }
}

void edx_sha256_begin(edx_sha256 *sha)
{
    static const uint32_t begin[8] = {
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
        0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
    };
    memcpy(sha->state, begin, sizeof begin);
    sha->length = 0;
}

void edx_sha256_add(edx_sha256 *sha, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sha->block[sha->length++ & 63] = data[i];
        if ((sha->length & 63) == 0) {
            block(sha);
        }
    }
}

void edx_sha256_end(edx_sha256 *sha, uint8_t digest[EDX_DIGEST])
{
    const uint64_t bits = sha->length * 8;
    uint8_t byte = 0x80;
    do {
        edx_sha256_add(sha, &byte, 1);
        byte = 0;
    } while ((sha->length & 63) != 56);
    for (int at = 56; at >= 0; at -= 8) {
        byte = (uint8_t)(bits >> at);
        edx_sha256_add(sha, &byte, 1);
    }
    for (unsigned i = 0; i < EDX_DIGEST; i++) {
        digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i & 3)));
    }
}

static uint32_t little(const uint8_t *b, unsigned n)
{
    uint32_t value = 0;
    while (n-- > 0) {
        value = value << 8 | b[n];
    }
    return value;
}

static bool digest_of(const edx_flash *flash, int slot, uint32_t n, uint8_t digest[EDX_DIGEST])
{
    edx_sha256 sha;
    uint8_t piece[64];
    edx_sha256_begin(&sha);
    for (uint32_t at = 0; at < n; at += sizeof piece) {
        const size_t size = n - at < sizeof piece ? n - at : sizeof piece;
        if (!flash->read(flash->context, slot, at, piece, size)) {
            return false;
        }
        edx_sha256_add(&sha, piece, size);
    }
    edx_sha256_end(&sha, digest);
    return true;
}

bool edx_image_read(const edx_flash *flash, int slot, edx_image *image)
{
    uint8_t h[HEADER], tlv[4], told[EDX_DIGEST];
    if (!flash->read(flash->context, slot, 0, h, sizeof h) || little(h, 4) != MAGIC) {
        return false;
    }
    /* As 64-bit numbers: a hostile header must not wrap around. */
    const uint64_t end = (uint64_t)little(h + 8, 2) + little(h + 10, 2) + little(h + 12, 4);
    if (little(h + 8, 2) < HEADER || end + 4 > flash->size ||
        !flash->read(flash->context, slot, (uint32_t)end, tlv, 4) ||
        little(tlv, 2) != TLV_MAGIC) {
        return false;
    }
    const uint64_t last = end + little(tlv + 2, 2);
    for (uint64_t at = end + 4; at + 4 <= last && last <= flash->size;) {
        if (!flash->read(flash->context, slot, (uint32_t)at, tlv, 4)) {
            return false;
        }
        const uint32_t length = little(tlv + 2, 2);
        if (little(tlv, 2) == TLV_SHA256 && length == EDX_DIGEST && at + 4 + length <= last) {
            memcpy(image->version, h + 20, 2);
            image->revision = (uint16_t)little(h + 22, 2);
            image->build = little(h + 24, 4);
            return flash->read(flash->context, slot, (uint32_t)at + 4, told, sizeof told) &&
                   digest_of(flash, slot, (uint32_t)end, image->digest) &&
                   memcmp(told, image->digest, sizeof told) == 0;
        }
        at += 4 + (uint64_t)length;
    }
    return false;
}

static void forget_mark(const edx_flash *flash)
{
    flash->mark(flash->context, flash->marks(flash->context) & EDX_CONFIRMED);
}

int edx_upload_piece(edx_upload *up, uint32_t offset, const uint8_t *data, size_t n,
                     const uint32_t *length, const uint8_t *sha)
{
    const edx_flash *flash = up->flash;
    if (offset == 0 && length != NULL) {
        if (*length > flash->size || *length == 0) {
            return NO_MEMORY;
        }
        const bool same = up->busy && up->at > 0 && sha != NULL && up->has_sha &&
                          up->length == *length && memcmp(up->sha, sha, EDX_DIGEST) == 0;
        if (same) {
            return 0; /* it was cut off: up->at says where to go on */
        }
        forget_mark(flash);
        if (!flash->erase(flash->context, 1)) {
            return NO_MEMORY;
        }
        up->busy = true;
        up->length = *length;
        up->at = 0;
        up->has_sha = sha != NULL;
        if (sha != NULL) {
            memcpy(up->sha, sha, EDX_DIGEST);
        }
    }
    if (!up->busy) {
        up->at = 0;
        return INVALID;
    }
    if (offset != up->at) {
        return 0;
    }
    if (n > up->length - up->at) {
        n = up->length - up->at;
    }
    if (!flash->write(flash->context, 1, up->at, data, n)) {
        return NO_MEMORY;
    }
    up->at += (uint32_t)n;
    if (up->at == up->length) {
        uint8_t digest[EDX_DIGEST];
        edx_image image;
        up->busy = false;
        const bool whole =
            !up->has_sha || (digest_of(flash, 1, up->length, digest) &&
                             memcmp(digest, up->sha, EDX_DIGEST) == 0);
        if (!whole || !edx_image_read(flash, 1, &image)) {
            flash->erase(flash->context, 1);
            return CORRUPT;
        }
    }
    return 0;
}

bool edx_image_restart(const edx_flash *flash)
{
    const uint8_t marks = flash->marks(flash->context);
    edx_image image;
    if ((marks & EDX_PENDING) && edx_image_read(flash, 1, &image)) {
        flash->mark(flash->context, marks & EDX_PERMANENT ? EDX_CONFIRMED : 0);
        return true;
    }
    if (!(marks & EDX_CONFIRMED) && edx_image_read(flash, 1, &image)) {
        flash->mark(flash->context, EDX_CONFIRMED); /* tried, and nobody confirmed it */
        return true;
    }
    flash->mark(flash->context, marks & EDX_CONFIRMED);
    return false;
}
