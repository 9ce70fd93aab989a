// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Coming and going: of the module, and of network namespaces. Decides nothing about flows.
 *
 * A namespace costs nothing until its first request: ss_net_enable() then registers the hooks.
 */
#include <linux/init.h>
#include <linux/module.h>
#include <net/netns/generic.h>

#include "compat.h"
#include "symsplice.h"

unsigned int ss_flows_max = SPLICE_PACKET_FLOWS_DEFAULT;
module_param_named(flows, ss_flows_max, uint, 0644);
MODULE_PARM_DESC(flows, "most flows of one network namespace");

unsigned int ss_queue_bytes = 4 << 20;
module_param_named(queue_bytes, ss_queue_bytes, uint, 0644);
MODULE_PARM_DESC(queue_bytes, "most memory for segments of one direction that wait for the release");

unsigned long ss_queue_bytes_all = 64 << 20;
module_param_named(queue_bytes_all, ss_queue_bytes_all, ulong, 0644);
MODULE_PARM_DESC(queue_bytes_all, "the same of all flows of one network namespace");

unsigned int ss_time_wait_ms = 60000;
module_param_named(time_wait_ms, ss_time_wait_ms, uint, 0644);
MODULE_PARM_DESC(time_wait_ms, "2 MSL: how long a flow relays on when both FINs are acknowledged");

unsigned int ss_gate_ms = 200;
module_param_named(gate_ms, ss_gate_ms, uint, 0644);
MODULE_PARM_DESC(gate_ms, "longest time that segments wait for sockets to become empty");

struct workqueue_struct *ss_workers;

static unsigned int ss_net_id __read_mostly;

struct ss_net *ss_net_of(struct net *net)
{
	return net_generic(net, ss_net_id);
}

int ss_net_enable(struct ss_net *ssn)
{
	int err = 0;

	mutex_lock(&ssn->enabling);
	if (ssn->enabled)
		goto out;
	err = ss_table_init_net(ssn);
	if (err)
		goto out;
	err = ss_relay_register(ssn->net);
	if (err) {
		ss_table_exit_net(ssn);
		goto out;
	}
	/* What it says is there: pairs with ss_net_is_enabled(). */
	smp_store_release(&ssn->enabled, true);
out:
	mutex_unlock(&ssn->enabling);
	return err;
}

static int __net_init ss_net_init(struct net *net)
{
	struct ss_net *ssn = ss_net_of(net);

	ssn->net = net;
	mutex_init(&ssn->enabling);
	xa_init_flags(&ssn->flows, XA_FLAGS_LOCK_BH);
	spin_lock_init(&ssn->lock);
	atomic64_set(&ssn->last_id, 0);
	atomic_long_set(&ssn->held_bytes, 0);
	/* Whoever may make namespaces without being root could otherwise make any number of them and
	 * have the kernel hold segments for each: as little as the kernel lets them hold of fragments.
	 */
	ssn->held_share = net->user_ns == &init_user_ns ? 1 : 16;
	INIT_DELAYED_WORK(&ssn->sweep, ss_teardown_sweep);
	return 0;
}

/* How a namespace goes, by itself or with the module:
 * a) Nobody can ask for a flow in it any more: its netlink sockets, and the sockets of flows, keep a
 *    namespace alive; and the family went before the module's namespaces do. So no flow is in TRANSIT.
 * b) The hooks go. Unregistering waits for nobody: segments may be in them until a grace period later,
 *    for which the caller waits between pre_exit and exit.
 */
static void __net_exit ss_net_pre_exit(struct net *net)
{
	if (ss_net_is_enabled(ss_net_of(net)))
		ss_relay_unregister(net);
}

/* c) `closing` keeps the sweep from being queued again, then it is stopped.
 * d) What is left in the table, released and ended flows, is taken out. Workers of flows that were
 *    in TRANSIT a moment ago may still be on their last lines: they are waited for.
 * e) Flows are freed after a grace period, by a function that does not follow flow->ssn. So nothing
 *    refers to it when it is freed on return.
 */
static void __net_exit ss_net_exit(struct net *net)
{
	struct ss_net *ssn = ss_net_of(net);

	if (!ss_net_is_enabled(ssn))
		return;
	spin_lock_bh(&ssn->lock);
	ssn->closing = true;
	spin_unlock_bh(&ssn->lock);
	cancel_delayed_work_sync(&ssn->sweep);
	ss_table_exit_net(ssn);
}

static struct pernet_operations ss_net_ops = {
	.init = ss_net_init,
	.pre_exit = ss_net_pre_exit,
	.exit = ss_net_exit,
	.id = &ss_net_id,
	.size = sizeof(struct ss_net),
};

static int __init ss_init(void)
{
	int err;

	if (!ss_selftest())
		return -ENOTRECOVERABLE;
	err = ss_table_init();
	if (err)
		return err;
	/* The pump copies: wherever there is a processor for it. */
	ss_workers = alloc_workqueue("symsplice", WQ_UNBOUND, 0);
	if (!ss_workers) {
		err = -ENOMEM;
		goto err_table;
	}
	err = register_pernet_subsys(&ss_net_ops);
	if (err)
		goto err_workers;
	err = ss_genl_init();
	if (err)
		goto err_pernet;
	pr_info("loaded, ABI %u, self-tests passed\n", SPLICE_ABI_VERSION);
	return 0;

err_pernet:
	unregister_pernet_subsys(&ss_net_ops);
err_workers:
	destroy_workqueue(ss_workers);
err_table:
	ss_table_exit();
	return err;
}

/* Every flow has a reference to the module, so there is none; but the function that freed the last
 * one may still be on its last lines: ss_table_exit() waits for it.
 */
static void __exit ss_exit(void)
{
	ss_genl_exit();
	unregister_pernet_subsys(&ss_net_ops);
	destroy_workqueue(ss_workers);
	ss_table_exit();
}

module_init(ss_init);
module_exit(ss_exit);
MODULE_DESCRIPTION("Symmetric TCP Splice: two TCP connections become one");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION("0.1.0");
MODULE_ALIAS("net-pf-16-proto-16-family-" SYMSPLICE_GENL_NAME);
