/* CRC-32, COBS and frames: docs/wire.md, section 2. */
#include "edx.h"

#include <string.h>

#define RESIDUE 0x2144DF1Cu

uint32_t edx_crc32(uint32_t crc, const uint8_t *data, size_t n)
{
    /* Half a byte at a time: 64 bytes of table in place of 1,024. */
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

size_t edx_cobs_encode(uint8_t *out, const uint8_t *in, size_t n)
{
    size_t at = 1, code_at = 0;
    uint8_t code = 1;
    for (size_t i = 0; i < n; i++) {
        if (in[i] != 0) {
            out[at++] = in[i];
            code++;
        }
        /* A full block at the very end needs no further code. */
        if (in[i] == 0 || (code == 255 && i + 1 < n)) {
            out[code_at] = code;
            code_at = at++;
            code = 1;
        }
    }
    out[code_at] = code;
    return at;
}

size_t edx_cobs_decode(uint8_t *data, size_t n)
{
    size_t in = 0, out = 0;
    while (in < n) {
        const size_t code = data[in++];
        if (code == 0 || code - 1 > n - in) {
            return 0;
        }
        memmove(data + out, data + in, code - 1);
        in += code - 1;
        out += code - 1;
        if (code != 255 && in < n) {
            data[out++] = 0;
        }
    }
    return out;
}

size_t edx_rx_byte(edx_rx *rx, uint8_t byte)
{
    if (byte != 0) {
        if (rx->n < sizeof rx->held) {
            rx->held[rx->n++] = byte;
        } else {
            rx->overlong = true;
        }
        return 0;
    }
    const size_t n = rx->n;
    const bool overlong = rx->overlong;
    rx->n = 0;
    rx->overlong = false;
    if (n == 0) {
        return 0;
    }
    const size_t body = overlong ? 0 : edx_cobs_decode(rx->held, n);
    if (body < 5 || body > EDX_MAX_FRAME || edx_crc32(0, rx->held, body) != RESIDUE) {
        rx->damaged++;
        return 0;
    }
    rx->frames++;
    return body - 4;
}

size_t edx_frame(uint8_t *out, uint8_t *body, size_t n)
{
    if (n + 4 > EDX_MAX_FRAME) {
        return 0;
    }
    const uint32_t crc = edx_crc32(0, body, n);
    for (size_t i = 0; i < 4; i++) {
        body[n + i] = (uint8_t)(crc >> (8 * i));
    }
    const size_t coded = edx_cobs_encode(out, body, n + 4);
    out[coded] = 0;
    return coded + 1;
}
