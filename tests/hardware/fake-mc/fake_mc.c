// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A memory controller that is not there, for ras:mc_event: no EDAC driver binds
 * to QEMU's machines, and Debian's kernels have no EDAC_DEBUG.
 *
 *   insmod fake_mc.ko
 *   echo "corrected 3 0 1" >/sys/module/fake_mc/parameters/inject
 *        KIND COUNT CSROW CHANNEL; KIND: corrected, uncorrected, fatal
 */

#include <linux/edac.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/string.h>

/* drivers/edac/edac_mc.h, which the packages of headers don't have */
struct mem_ctl_info *edac_mc_alloc(unsigned int mc_num, unsigned int n_layers,
                                   struct edac_mc_layer *layers,
                                   unsigned int sz_pvt);
int edac_mc_add_mc_with_groups(struct mem_ctl_info *mci,
                               const struct attribute_group **groups);
void edac_mc_free(struct mem_ctl_info *mci);
struct mem_ctl_info *edac_mc_del_mc(struct device *dev);
void edac_mc_handle_error(const enum hw_event_mc_err_type type,
                          struct mem_ctl_info *mci, const u16 error_count,
                          const unsigned long page_frame_number,
                          const unsigned long offset_in_page,
                          const unsigned long syndrome, const int top_layer,
                          const int mid_layer, const int low_layer,
                          const char *msg, const char *other_detail);

#define CSROWS 2
#define CHANNELS 2

static struct platform_device *device;
static struct mem_ctl_info *mci;

static int inject(const char *value, const struct kernel_param *unused)
{
    enum hw_event_mc_err_type type;
    unsigned int count, csrow, channel;
    char kind[16];

    if (!mci ||
        sscanf(value, "%15s %u %u %u", kind, &count, &csrow, &channel) != 4 ||
        count < 1 || count > 65535 || csrow >= CSROWS || channel >= CHANNELS) {
        return -EINVAL;
    }
    if (strcmp(kind, "corrected") == 0) {
        type = HW_EVENT_ERR_CORRECTED;
    } else if (strcmp(kind, "uncorrected") == 0) {
        type = HW_EVENT_ERR_UNCORRECTED;
    } else if (strcmp(kind, "fatal") == 0) {
        type = HW_EVENT_ERR_FATAL;
    } else {
        return -EINVAL;
    }
    edac_mc_handle_error(type, mci, count, 0x1234, 0x40, 0x5a, csrow, channel,
                         -1, "injected", "");
    return 0;
}

static const struct kernel_param_ops inject_ops = { .set = inject };
module_param_cb(inject, &inject_ops, NULL, 0200);
MODULE_PARM_DESC(inject, "KIND COUNT CSROW CHANNEL");

static int __init fake_mc_init(void)
{
    struct edac_mc_layer layers[] = {
        { .type = EDAC_MC_LAYER_CHIP_SELECT,
          .size = CSROWS,
          .is_virt_csrow = true },
        { .type = EDAC_MC_LAYER_CHANNEL, .size = CHANNELS },
    };
    struct mem_ctl_info *made;
    int err;

    device = platform_device_register_simple("fake_mc", -1, NULL, 0);
    if (IS_ERR(device)) {
        return PTR_ERR(device);
    }
    made = edac_mc_alloc(0, ARRAY_SIZE(layers), layers, 0);
    if (!made) {
        platform_device_unregister(device);
        return -ENOMEM;
    }
    made->pdev = &device->dev;
    made->mod_name = "fake_mc";
    made->ctl_name = "fake_mc";
    made->dev_name = dev_name(&device->dev);
    made->mtype_cap = MEM_FLAG_DDR4;
    made->edac_ctl_cap = EDAC_FLAG_SECDED;
    made->edac_cap = EDAC_FLAG_SECDED;
    for (unsigned int i = 0; i < made->tot_dimms; i++) {
        struct dimm_info *dimm = made->dimms[i];

        dimm->nr_pages = 1024;
        dimm->grain = 8;
        dimm->mtype = MEM_DDR4;
        dimm->dtype = DEV_X8;
        dimm->edac_mode = EDAC_SECDED;
        snprintf(dimm->label, sizeof(dimm->label), "FAKE_DIMM_%u", i);
    }
    err = edac_mc_add_mc_with_groups(made, NULL);
    if (err) {
        edac_mc_free(made);
        platform_device_unregister(device);
        return err;
    }
    mci = made;
    return 0;
}

static void __exit fake_mc_exit(void)
{
    edac_mc_del_mc(&device->dev);
    edac_mc_free(mci);
    platform_device_unregister(device);
}

module_init(fake_mc_init);
module_exit(fake_mc_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A memory controller that is not there, for tests");
