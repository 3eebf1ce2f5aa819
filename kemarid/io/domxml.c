/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "domxml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <uuid/uuid.h>

#include "xmltree.h"

/* Namespace of the UUIDs that are made from names; never to be changed. */
#define NAME_UUID_NS "6b656d61-7269-5d00-8000-6e616d657300"

struct kmr_domxml {
    xmlDoc *doc;
    char *source;
    char *name;
    char *emulator;
    char uuid[37];
    unsigned vcpus;
    uint64_t memory_kib;
};

__attribute__((format(printf, 4, 5))) static int fail(
    struct kmr_domxml_error *error, const char *source, int line,
    const char *fmt, ...)
{
    char what[256];
    va_list ap;

    if (error) {
        va_start(ap, fmt);
        vsnprintf(what, sizeof(what), fmt, ap);
        va_end(ap);
        error->line = line;
        if (line > 0) {
            snprintf(error->text, sizeof(error->text), "%.240s:%d: %s", source,
                     line, what);
        } else {
            snprintf(error->text, sizeof(error->text), "%.240s: %s", source,
                     what);
        }
    }
    return -EBADMSG;
}

static bool name_ok(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= KMR_DOMXML_NAME_MAX && name[0] != '.' &&
           name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._-") == len;
}

static int parse_memory(const xmlNode *node, uint64_t *ret_kib)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {
        { "b", 1 },          { "bytes", 1 },        { "KB", 1000 },
        { "k", 1024 },       { "KiB", 1024 },       { "MB", 1000000 },
        { "M", 1 << 20 },    { "MiB", 1 << 20 },    { "GB", 1000000000 },
        { "G", 1 << 30 },    { "GiB", 1 << 30 },    { "TB", 1000000000000 },
        { "T", 1ULL << 40 }, { "TiB", 1ULL << 40 },
    };
    xmlChar *unit = xmlGetNoNsProp(node, BAD_CAST "unit");
    char *text = kmr_xml_text(node), *end = NULL;
    uint64_t scale = 0, value = 0;
    int err = -EBADMSG;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit ? (char *)unit : "KiB", units[i].unit) == 0) {
            scale = units[i].bytes;
        }
    }
    if (text && scale) {
        errno = 0;
        value = strtoull(text, &end, 10);
        if (!errno && end != text && !*end && text[0] != '-' && value > 0 &&
            value <= (UINT64_MAX / 1024) / scale) {
            *ret_kib = value * scale / 1024;
            err = 0;
        }
    }
    xmlFree(unit);
    free(text);
    return err;
}

/* Takes what is asked for often out of the tree, and checks it. */
static int inspect(struct kmr_domxml *dom, struct kmr_domxml_error *error)
{
    xmlNode *root = xmlDocGetRootElement(dom->doc);
    xmlNode *node;
    uuid_t ns, uuid;
    char *text;
    bool ok;

    if (dom->doc->intSubset) {
        return fail(error, dom->source, 0, "a DOCTYPE is not allowed here");
    }
    if (!root || !kmr_xml_is(root, "domain")) {
        return fail(error, dom->source, root ? kmr_xml_line(root) : 0,
                    "not a libvirt domain: the root element is <%s>, "
                    "not <domain>",
                    root ? (char *)root->name : "");
    }
    if (!kmr_xml_prop_is(root, "type", "kvm") &&
        !kmr_xml_prop_is(root, "type", "qemu")) {
        return fail(error, dom->source, kmr_xml_line(root),
                    "<domain> needs type='kvm' or type='qemu'");
    }
    node = kmr_xml_child(root, "name");
    dom->name = kmr_xml_text(node);
    if (!dom->name || !name_ok(dom->name)) {
        return fail(error, dom->source, kmr_xml_line(node ? node : root),
                    "<domain> needs a <name> of at most %d letters, digits, "
                    "'.', '_' and '-'",
                    KMR_DOMXML_NAME_MAX);
    }
    node = kmr_xml_child(root, "uuid");
    text = kmr_xml_text(node);
    if (text) {
        ok = uuid_parse(text, uuid) == 0;
        free(text);
        if (!ok) {
            return fail(error, dom->source, kmr_xml_line(node),
                        "<uuid> is not a UUID");
        }
    } else {
        uuid_parse(NAME_UUID_NS, ns);
        uuid_generate_sha1(uuid, ns, dom->name, strlen(dom->name));
    }
    uuid_unparse_lower(uuid, dom->uuid);

    node = kmr_xml_child(root, "memory");
    if (!node || parse_memory(node, &dom->memory_kib) < 0) {
        return fail(error, dom->source, kmr_xml_line(node ? node : root),
                    "<domain> needs a <memory> with a size");
    }
    dom->vcpus = 1;
    node = kmr_xml_child(root, "vcpu");
    if (node) {
        char *end = NULL;
        unsigned long n;

        text = kmr_xml_text(node);
        n = text ? strtoul(text, &end, 10) : 0;
        ok = text && end != text && !*end && n >= 1 && n <= 4096;
        free(text);
        if (!ok) {
            return fail(error, dom->source, kmr_xml_line(node),
                        "<vcpu> is not a number");
        }
        dom->vcpus = (unsigned)n;
    }
    dom->emulator =
        kmr_xml_text(kmr_xml_child(kmr_xml_child(root, "devices"), "emulator"));
    return 0;
}

/* The first thing that the parser found wrong; the last is a consequence. */
struct first_error {
    int line;
    char text[200];
};

#if LIBXML_VERSION >= 21200
static void on_parse_error(void *user, const xmlError *error)
#else
static void on_parse_error(void *user, xmlError *error)
#endif
{
    struct first_error *first = ((xmlParserCtxt *)user)->_private;

    if (first->text[0] == '\0' && error->level >= XML_ERR_ERROR) {
        first->line = error->line;
        snprintf(first->text, sizeof(first->text), "%s",
                 error->message ? error->message : "not XML");
        first->text[strcspn(first->text, "\n")] = '\0';
    }
}

int kmr_domxml_read_text(const char *text, size_t len, const char *what,
                         struct kmr_domxml **ret_dom,
                         struct kmr_domxml_error *ret_error)
{
    struct kmr_domxml *dom;
    struct first_error first = { 0 };
    xmlParserCtxt *ctxt;
    int err;

    if (len > KMR_DOMXML_TEXT_MAX) {
        fail(ret_error, what, 0, "larger than %u bytes", KMR_DOMXML_TEXT_MAX);
        return -E2BIG;
    }
    dom = calloc(1, sizeof(*dom));
    if (!dom) {
        return -ENOMEM;
    }
    dom->source = strdup(what);
    ctxt = xmlNewParserCtxt();
    if (!dom->source || !ctxt) {
        err = -ENOMEM;
        goto out;
    }
    /* nothing is fetched, nothing is printed; entity limits are libxml2's */
    ctxt->_private = &first;
    ctxt->sax->serror = on_parse_error;
    dom->doc = xmlCtxtReadMemory(ctxt, text, (int)len, NULL, NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOBLANKS |
                                     XML_PARSE_BIG_LINES | XML_PARSE_NOERROR |
                                     XML_PARSE_NOWARNING);
    if (!dom->doc) {
        err = fail(ret_error, what, len ? first.line : 0, "%s",
                   len ? first.text : "empty");
        goto out;
    }
    err = inspect(dom, ret_error);
    if (err == 0) {
        *ret_dom = dom;
        dom = NULL;
    }
out:
    xmlFreeParserCtxt(ctxt);
    kmr_domxml_free(dom);
    return err;
}

int kmr_domxml_read_file(const char *path, struct kmr_domxml **ret_dom,
                         struct kmr_domxml_error *ret_error)
{
    char *buf = malloc(KMR_DOMXML_TEXT_MAX + 2);
    size_t len = 0;
    ssize_t n = 0;
    int fd, err;

    if (!buf) {
        return -ENOMEM;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        err = -errno;
        fail(ret_error, path, 0, "%s", strerror(-err));
        goto out;
    }
    while (len < KMR_DOMXML_TEXT_MAX + 1 &&
           (n = read(fd, buf + len, KMR_DOMXML_TEXT_MAX + 1 - len)) > 0) {
        len += (size_t)n;
    }
    err = n < 0 ? -errno : 0;
    close(fd);
    if (err < 0) {
        fail(ret_error, path, 0, "%s", strerror(-err));
        goto out;
    }
    err = kmr_domxml_read_text(buf, len, path, ret_dom, ret_error);
out:
    free(buf);
    return err;
}

void kmr_domxml_free(struct kmr_domxml *dom)
{
    if (!dom) {
        return;
    }
    if (dom->doc) {
        xmlFreeDoc(dom->doc);
    }
    free(dom->source);
    free(dom->name);
    free(dom->emulator);
    free(dom);
}

const char *kmr_domxml_source(const struct kmr_domxml *dom)
{
    return dom->source;
}

const char *kmr_domxml_name(const struct kmr_domxml *dom)
{
    return dom->name;
}

const char *kmr_domxml_uuid(const struct kmr_domxml *dom)
{
    return dom->uuid;
}

const char *kmr_domxml_emulator(const struct kmr_domxml *dom)
{
    return dom->emulator;
}

unsigned kmr_domxml_vcpus(const struct kmr_domxml *dom)
{
    return dom->vcpus;
}

uint64_t kmr_domxml_memory_kib(const struct kmr_domxml *dom)
{
    return dom->memory_kib;
}

struct _xmlDoc *kmr_domxml_doc(const struct kmr_domxml *dom)
{
    return dom->doc;
}
