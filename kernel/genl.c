// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What processes ask: generic netlink family "symsplice", see uapi/symsplice.h and symsplice.yaml.
 *
 * Generic netlink rather than ioctl on a device: a request runs in the context of its sender, so that
 * descriptors mean what they mean there; the family is per network namespace, as flows are; the
 * capability check is netlink's, against the user namespace that owns the network namespace and
 * against who opened the socket; attributes can be added; dumps and events are there already.
 */
#include <linux/file.h>
#include <net/genetlink.h>

#include "symsplice.h"

static struct genl_family family;

/* Sequence numbers are compared within 2^31. */
static struct netlink_range_validation owed_range = { .max = 1 << 30 };
/* So are ticks, of 1.05 ms. */
static struct netlink_range_validation idle_range = { .max = S32_MAX };

static const struct nla_policy policy[SYMSPLICE_A_MAX + 1] = {
	[SYMSPLICE_A_LISTENER] = NLA_POLICY_MIN(NLA_S32, 0),
	[SYMSPLICE_A_CLIENT] = NLA_POLICY_MIN(NLA_S32, 0),
	[SYMSPLICE_A_SERVER] = NLA_POLICY_MIN(NLA_S32, 0),
	[SYMSPLICE_A_LEN] = NLA_POLICY_FULL_RANGE(NLA_U32, &owed_range),
	[SYMSPLICE_A_SERVER_LEN] = NLA_POLICY_FULL_RANGE(NLA_U32, &owed_range),
	[SYMSPLICE_A_IDLE] = NLA_POLICY_FULL_RANGE(NLA_U32, &idle_range),
	[SYMSPLICE_A_ID] = { .type = NLA_U64 },
	[SYMSPLICE_A_OPEN] = { .type = NLA_FLAG },
};

static struct socket *socket_of(struct genl_info *info, int attr, int *err)
{
	*err = -EINVAL;
	if (GENL_REQ_ATTR_CHECK(info, attr))
		return NULL;
	return ss_accept_socket(genl_info_net(info), nla_get_s32(info->attrs[attr]), err);
}

static u32 number_of(struct genl_info *info, int attr)
{
	return info->attrs[attr] ? nla_get_u32(info->attrs[attr]) : 0;
}

/* A reply to `info` with room for what follows its header; null: no memory. */
static struct sk_buff *begin_reply(struct genl_info *info, u8 cmd, size_t room, void **header)
{
	struct sk_buff *msg = genlmsg_new(room, GFP_KERNEL);

	if (!msg)
		return NULL;
	*header = genlmsg_put_reply(msg, info, &family, 0, cmd);
	return msg;
}

static int reply_answer(struct genl_info *info, u8 cmd, u32 answer, u64 id)
{
	struct sk_buff *msg;
	void *header;

	msg = begin_reply(info, cmd, NLMSG_GOODSIZE, &header);
	if (!msg)
		return -ENOMEM;
	if (nla_put_u32(msg, SYMSPLICE_A_ANSWER, answer) ||
	    (id && nla_put_u64_64bit(msg, SYMSPLICE_A_ID, id, SYMSPLICE_A_PAD))) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, header);
	return genlmsg_reply(msg, info);
}

static int ask_init(struct sk_buff *skb, struct genl_info *info)
{
	struct socket *sock;
	int err;

	sock = socket_of(info, SYMSPLICE_A_LISTENER, &err);
	if (!sock)
		return err;
	err = ss_accept_init(ss_net_of(genl_info_net(info)), sock);
	sockfd_put(sock);
	return err;
}

/* Both sockets of a request, with a reference each; or an error. */
static int both_sockets(struct genl_info *info, struct socket *socks[2])
{
	int err;

	socks[SPLICE_CLIENT] = socket_of(info, SYMSPLICE_A_CLIENT, &err);
	if (!socks[SPLICE_CLIENT])
		return err;
	socks[SPLICE_SERVER] = socket_of(info, SYMSPLICE_A_SERVER, &err);
	if (socks[SPLICE_SERVER] && socks[SPLICE_CLIENT]->sk != socks[SPLICE_SERVER]->sk)
		return 0;
	if (socks[SPLICE_SERVER]) {
		sockfd_put(socks[SPLICE_SERVER]);
		err = -EINVAL;
	}
	sockfd_put(socks[SPLICE_CLIENT]);
	return err;
}

static void put_both(struct socket *socks[2])
{
	sockfd_put(socks[SPLICE_CLIENT]);
	sockfd_put(socks[SPLICE_SERVER]);
}

static int ask_intend(struct sk_buff *skb, struct genl_info *info)
{
	struct socket *socks[2];
	u32 answer = 0;
	int err;

	err = both_sockets(info, socks);
	if (err)
		return err;
	err = ss_handshake_intend(ss_net_of(genl_info_net(info)), socks[SPLICE_CLIENT],
				  socks[SPLICE_SERVER],
				  nla_get_flag(info->attrs[SYMSPLICE_A_OPEN]), &answer);
	put_both(socks);
	return err ? err : reply_answer(info, SYMSPLICE_CMD_INTEND, answer, 0);
}

static int ask_cancel(struct sk_buff *skb, struct genl_info *info)
{
	struct socket *sock;
	int err;

	sock = socket_of(info, SYMSPLICE_A_CLIENT, &err);
	if (!sock)
		return err;
	err = ss_handshake_cancel(ss_net_of(genl_info_net(info)), sock);
	sockfd_put(sock);
	return err;
}

static int ask_splice(struct sk_buff *skb, struct genl_info *info)
{
	u32 owed[2] = { number_of(info, SYMSPLICE_A_LEN), number_of(info, SYMSPLICE_A_SERVER_LEN) };
	struct socket *socks[2];
	u32 answer = 0;
	u64 id = 0;
	int err;

	err = both_sockets(info, socks);
	if (err)
		return err;
	err = ss_splice_begin(ss_net_of(genl_info_net(info)), socks[SPLICE_CLIENT],
			      socks[SPLICE_SERVER], owed, number_of(info, SYMSPLICE_A_IDLE), &id, &answer);
	put_both(socks);
	return err ? err : reply_answer(info, SYMSPLICE_CMD_SPLICE, answer, id);
}

static int abort_one(struct ss_net *ssn, u64 id)
{
	struct ss_flow *flow = ss_table_get(ssn, id);

	if (!flow)
		return -ENOENT;
	ss_teardown_abort(flow, SPLICE_CLOSE_ABORTED);
	ss_flow_put(flow);
	return 0;
}

/* Those that there are; who comes meanwhile has a higher number. */
static int abort_all(struct ss_net *ssn)
{
	u64 last = atomic64_read(&ssn->last_id), id = 0;
	struct ss_flow *flow;

	while ((flow = ss_table_get_from(ssn, id))) {
		id = flow->id + 1;
		if (flow->id <= last)
			ss_teardown_abort(flow, SPLICE_CLOSE_ABORTED);
		ss_flow_put(flow);
		if (id > last)
			break;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int ask_abort(struct sk_buff *skb, struct genl_info *info)
{
	struct ss_net *ssn = ss_net_of(genl_info_net(info));
	struct nlattr *id = info->attrs[SYMSPLICE_A_ID];

	return id ? abort_one(ssn, nla_get_u64(id)) : abort_all(ssn);
}

static int put_flow(struct sk_buff *msg, struct ss_flow *flow)
{
	struct splice_flow_slot slot;
	u32 queued;

	spin_lock_bh(&flow->lock);
	slot = flow->slot;
	queued = flow->held[SPLICE_CLIENT].bytes + flow->held[SPLICE_SERVER].bytes;
	spin_unlock_bh(&flow->lock);
	return nla_put_u64_64bit(msg, SYMSPLICE_A_ID, flow->id, SYMSPLICE_A_PAD) ||
	       nla_put(msg, SYMSPLICE_A_FLOW, sizeof(slot), &slot) ||
	       nla_put_u32(msg, SYMSPLICE_A_QUEUED, queued) ? -EMSGSIZE : 0;
}

static int ask_get_flow(struct sk_buff *skb, struct genl_info *info)
{
	struct ss_flow *flow;
	struct sk_buff *msg;
	void *header;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, SYMSPLICE_A_ID))
		return -EINVAL;
	flow = ss_table_get(ss_net_of(genl_info_net(info)), nla_get_u64(info->attrs[SYMSPLICE_A_ID]));
	if (!flow)
		return -ENOENT;
	msg = begin_reply(info, SYMSPLICE_CMD_GET_FLOW, NLMSG_GOODSIZE, &header);
	err = msg ? put_flow(msg, flow) : -ENOMEM;
	ss_flow_put(flow);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, header);
	return genlmsg_reply(msg, info);
}

static int dump_flow(struct sk_buff *msg, struct netlink_callback *cb, struct ss_flow *flow)
{
	void *header = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family,
				   NLM_F_MULTI, SYMSPLICE_CMD_GET_FLOW);

	if (!header)
		return -EMSGSIZE;
	if (put_flow(msg, flow)) {
		genlmsg_cancel(msg, header);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, header);
	return 0;
}

/* cb->args[0]: number behind that of the last flow that was put. */
static int dump_flows(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct ss_net *ssn = ss_net_of(sock_net(msg->sk));
	struct ss_flow *flow;
	int err = 0;

	while (!err && (flow = ss_table_get_from(ssn, cb->args[0]))) {
		err = dump_flow(msg, cb, flow);
		if (!err)
			cb->args[0] = flow->id + 1;
		ss_flow_put(flow);
	}
	return msg->len;
}

static void add_counts(struct ss_net *ssn, struct ss_counts *sum)
{
	const u64 *from;
	u64 *to = (u64 *)sum;
	size_t i;
	int cpu;

	for_each_possible_cpu(cpu) {
		from = (const u64 *)per_cpu_ptr(ssn->counts, cpu);
		for (i = 0; i < sizeof(*sum) / sizeof(u64); i++)
			to[i] += READ_ONCE(from[i]);
	}
}

static int ask_get_stats(struct sk_buff *skb, struct genl_info *info)
{
	struct ss_net *ssn = ss_net_of(genl_info_net(info));
	struct ss_counts *sum = kzalloc(sizeof(*sum), GFP_KERNEL);
	struct sk_buff *msg = NULL;
	void *header;
	int err = -ENOMEM;

	if (!sum)
		return err;
	if (ss_net_is_enabled(ssn))
		add_counts(ssn, sum);
	msg = begin_reply(info, SYMSPLICE_CMD_GET_STATS, NLMSG_GOODSIZE, &header);
	if (!msg)
		goto out;
	err = nla_put_u32(msg, SYMSPLICE_A_ABI, SPLICE_ABI_VERSION) ||
	      nla_put_u32(msg, SYMSPLICE_A_FLOWS, READ_ONCE(ssn->count)) ||
	      nla_put(msg, SYMSPLICE_A_COUNTERS, sizeof(sum->packet), sum->packet) ||
	      nla_put(msg, SYMSPLICE_A_EDGES, sizeof(sum->edges), sum->edges) ||
	      nla_put(msg, SYMSPLICE_A_MORE, sizeof(sum->more), sum->more) ? -EMSGSIZE : 0;
	if (err) {
		nlmsg_free(msg);
		goto out;
	}
	genlmsg_end(msg, header);
	err = genlmsg_reply(msg, info);
out:
	kfree(sum);
	return err;
}

static const struct genl_small_ops ops[] = {
	{ .cmd = SYMSPLICE_CMD_INIT, .doit = ask_init, .flags = GENL_UNS_ADMIN_PERM },
	{ .cmd = SYMSPLICE_CMD_INTEND, .doit = ask_intend, .flags = GENL_UNS_ADMIN_PERM },
	{ .cmd = SYMSPLICE_CMD_CANCEL, .doit = ask_cancel, .flags = GENL_UNS_ADMIN_PERM },
	{ .cmd = SYMSPLICE_CMD_SPLICE, .doit = ask_splice, .flags = GENL_UNS_ADMIN_PERM },
	{ .cmd = SYMSPLICE_CMD_ABORT, .doit = ask_abort, .flags = GENL_UNS_ADMIN_PERM },
	{ .cmd = SYMSPLICE_CMD_GET_FLOW, .doit = ask_get_flow, .dumpit = dump_flows,
	  .flags = GENL_UNS_ADMIN_PERM },
	{ .cmd = SYMSPLICE_CMD_GET_STATS, .doit = ask_get_stats },
};

static const struct genl_multicast_group groups[] = {
	{ .name = SYMSPLICE_MCGRP_EVENTS, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

static struct genl_family family __ro_after_init = {
	.name = SYMSPLICE_GENL_NAME,
	.version = SYMSPLICE_GENL_VERSION,
	.maxattr = SYMSPLICE_A_MAX,
	.policy = policy,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.small_ops = ops,
	.n_small_ops = ARRAY_SIZE(ops),
	.resv_start_op = SYMSPLICE_CMD_INIT,
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

void ss_genl_event(struct net *net, const struct ss_event *event)
{
	struct sk_buff *msg;
	void *header;

	if (!genl_has_listeners(&family, net, 0))
		return;
	msg = genlmsg_new(NLMSG_GOODSIZE, GFP_ATOMIC);
	if (!msg)
		goto lost;
	header = genlmsg_put(msg, 0, 0, &family, 0, SYMSPLICE_CMD_EVENT);
	if (!header || nla_put_u32(msg, SYMSPLICE_A_EVENT, event->type) ||
	    nla_put_u32(msg, SYMSPLICE_A_REASON, event->reason) ||
	    nla_put_u64_64bit(msg, SYMSPLICE_A_ID, event->id, SYMSPLICE_A_PAD) ||
	    nla_put_u64_64bit(msg, SYMSPLICE_A_BYTES_UP, event->bytes[SPLICE_CLIENT], SYMSPLICE_A_PAD) ||
	    nla_put_u64_64bit(msg, SYMSPLICE_A_BYTES_DOWN, event->bytes[SPLICE_SERVER], SYMSPLICE_A_PAD)) {
		nlmsg_free(msg);
		goto lost;
	}
	genlmsg_end(msg, header);
	if (!genlmsg_multicast_netns(&family, net, msg, 0, 0, GFP_ATOMIC))
		return;
lost:
	ss_count(ss_net_of(net), SPLICE_COUNT_EVENT_LOST);
}

int ss_genl_init(void)
{
	return genl_register_family(&family);
}

void ss_genl_exit(void)
{
	genl_unregister_family(&family);
}
