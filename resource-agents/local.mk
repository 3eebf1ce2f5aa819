# SPDX-License-Identifier: GPL-2.0-or-later
# The resource agent ocf:kemari:vm; included by Makefile.am.
kemariocfdir = $(ocfdir)/resource.d/kemari
kemariocf_SCRIPTS = resource-agents/vm
man_MANS += resource-agents/ocf_kemari_vm.7
EXTRA_DIST += resource-agents/vm.in resource-agents/ocf_kemari_vm.7.in
CLEANFILES += resource-agents/vm resource-agents/ocf_kemari_vm.7

resource-agents/vm: resource-agents/vm.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(edit) $(srcdir)/resource-agents/vm.in >$@.tmp && \
	chmod 755 $@.tmp && mv $@.tmp $@

resource-agents/ocf_kemari_vm.7: resource-agents/ocf_kemari_vm.7.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(edit) $(srcdir)/resource-agents/ocf_kemari_vm.7.in >$@.tmp && \
	mv $@.tmp $@
