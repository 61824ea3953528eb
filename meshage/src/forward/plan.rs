//! What this node does with a data frame, decided from the frame's header and the routes only.

use smallvec::{SmallVec, smallvec};

use crate::name::{LinkId, NodeName};
use crate::route::{Branch, RouteTable};
use crate::wire::data::{DataHeader, HOP_LIMIT, MessageSequence, Target, TargetList, Targets};

/// What to do with a data frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Deliver it here, with this sequence number. For a set, also the id of the source's oldest
    /// message that is outstanding for this node.
    pub deliver: Option<(MessageSequence, Option<u64>)>,
    /// Forward these copies.
    pub copies: SmallVec<[PlannedCopy; 1]>,
    /// Refuse it for these recipients: there is no route.
    pub unreachable: Vec<(NodeName, MessageSequence)>,
}

/// A copy to forward.
#[derive(Debug, PartialEq, Eq)]
pub struct PlannedCopy {
    /// The link to forward it over.
    pub link: LinkId,
    /// Whom it is for.
    pub targets: Targets,
    /// How many nodes answer it.
    pub recipients: u32,
}

/// Decides what node `me` does with a frame that arrived over the link `arrived_on`.
///
/// A frame is in a loop if it was here before, if it has reached the hop limit, or if its next hop
/// is the link that it arrived on. Loops occur while routes change. Such a frame is not forwarded;
/// a set is refused, so that its source is notified.
pub fn plan(routes: &RouteTable, me: &NodeName, arrived_on: LinkId, header: &DataHeader) -> Plan {
    let looping =
        header.route.len() >= HOP_LIMIT || header.route.contains(me) && !planted!(LoopNotDetected);
    match &header.targets {
        Targets::Flood(sequence) => {
            if looping {
                return Plan { deliver: None, copies: SmallVec::new(), unreachable: Vec::new() };
            }
            let targets = Targets::Flood(*sequence);
            let branches = routes.broadcast_branches(header.instance);
            let left_out = usize::from(planted!(BroadcastLinkLeftOut));
            let copies = branches[..branches.len().saturating_sub(left_out)]
                .iter()
                .filter(|branch| branch.link != arrived_on)
                .map(|&Branch { link, nodes }| PlannedCopy {
                    link,
                    targets: targets.clone(),
                    recipients: nodes,
                })
                .collect();
            Plan { deliver: Some((*sequence, None)), copies, unreachable: Vec::new() }
        }
        Targets::List(list) => plan_list(routes, me, arrived_on, list, looping),
    }
}

fn plan_list(
    routes: &RouteTable,
    me: &NodeName,
    arrived_on: LinkId,
    list: &[Target],
    looping: bool,
) -> Plan {
    let mut plan = Plan { deliver: None, copies: SmallVec::new(), unreachable: Vec::new() };
    // By link, in ascending order. Usually there is one recipient, and one link.
    let mut by_link: SmallVec<[(LinkId, SmallVec<[usize; 2]>); 1]> = SmallVec::new();
    for (index, target) in list.iter().enumerate() {
        let Some(sequence) = target.sequence else {
            continue;
        };
        if target.name == *me && !looping {
            plan.deliver = Some((sequence, Some(target.oldest)));
            continue;
        }
        match routes.route(target.name.as_str()) {
            Some(route) if !looping && (route.link != arrived_on || planted!(LoopNotDetected)) => {
                match by_link.binary_search_by_key(&route.link, |(link, _)| *link) {
                    Ok(at) => by_link[at].1.push(index),
                    Err(at) => by_link.insert(at, (route.link, smallvec![index])),
                }
            }
            Some(_) | None => plan.unreachable.push((target.name.clone(), sequence)),
        }
    }
    for (link, indices) in by_link {
        let recipients = indices.len() as u32;
        let targets = Targets::List(keep_sequences(list, &indices));
        plan.copies.push(PlannedCopy { link, targets, recipients });
    }
    plan
}

/// Copies the list, and keeps the sequence numbers only at the given indices, which ascend.
pub(crate) fn keep_sequences(list: &[Target], indices: &[usize]) -> TargetList {
    list.iter()
        .enumerate()
        .map(|(index, target)| Target {
            name: target.name.clone(),
            sequence: target.sequence.filter(|_| indices.binary_search(&index).is_ok()),
            oldest: target.oldest,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{instance, node, table};
    use crate::wire::data::Channel;

    const SEQUENCE: MessageSequence = MessageSequence { number: 1, floor: 1 };

    fn header(source: &str, targets: Targets, route: &[&str]) -> DataHeader {
        DataHeader {
            source: node(source),
            instance: instance(source),
            id: 1,
            channel: Channel { broadcast: matches!(targets, Targets::Flood(_)), large: false },
            encoding: 0,
            targets,
            chunk: None,
            route: route.iter().map(|name| node(name)).collect(),
        }
    }

    fn list(names: &[&str]) -> Targets {
        Targets::List(
            names
                .iter()
                .map(|name| Target { name: node(name), sequence: Some(SEQUENCE), oldest: 1 })
                .collect(),
        )
    }

    const STAR: &[(&str, &str)] = &[("a", "b"), ("b", "c"), ("b", "d"), ("d", "e")];

    #[test]
    fn a_set_is_split_where_its_routes_part() {
        let routes = table("b", STAR);
        let header = header("a", list(&["b", "c", "d", "e", "x"]), &["a"]);
        let plan = plan(&routes, &node("b"), LinkId(1), &header);
        assert_eq!(plan.deliver, Some((SEQUENCE, Some(1))));
        assert_eq!(plan.unreachable, [(node("x"), SEQUENCE)]);
        let shares: Vec<(LinkId, Vec<bool>)> = plan
            .copies
            .into_iter()
            .map(|copy| match copy.targets {
                Targets::List(list) => {
                    let sequences: Vec<bool> = list.iter().map(|t| t.sequence.is_some()).collect();
                    let named = sequences.iter().filter(|named| **named).count();
                    assert_eq!(copy.recipients as usize, named);
                    (copy.link, sequences)
                }
                Targets::Flood(_) => panic!("a set is not flooded"),
            })
            .collect();
        assert_eq!(
            shares,
            [
                (LinkId(3), vec![false, true, false, false, false]),
                (LinkId(4), vec![false, false, true, true, false]),
            ]
        );
    }

    #[test]
    fn a_broadcast_is_forwarded_away_from_its_source_only() {
        let routes = table("b", STAR);
        let header = header("a", Targets::Flood(SEQUENCE), &["a"]);
        let plan = plan(&routes, &node("b"), LinkId(1), &header);
        assert_eq!(plan.deliver, Some((SEQUENCE, None)));
        let copy = |link, recipients| PlannedCopy {
            link: LinkId(link),
            targets: Targets::Flood(SEQUENCE),
            recipients,
        };
        assert_eq!(plan.copies.as_slice(), [copy(3, 1), copy(4, 2)]);
    }

    #[test]
    fn a_frame_that_was_here_before_is_not_forwarded() {
        let routes = table("b", STAR);
        for (route, arrived_on) in
            [(&["a", "b", "c"][..], LinkId(3)), (&["a"; HOP_LIMIT][..], LinkId(1))]
        {
            let plan = plan(&routes, &node("b"), arrived_on, &header("a", list(&["e"]), route));
            assert!(plan.copies.is_empty());
            assert_eq!(plan.unreachable, [(node("e"), SEQUENCE)]);
        }
    }

    #[test]
    fn no_frame_is_sent_back_over_the_link_it_arrived_on() {
        let routes = table("b", STAR);
        let plan = plan(&routes, &node("b"), LinkId(4), &header("a", list(&["e"]), &["a"]));
        assert!(plan.copies.is_empty());
        assert_eq!(plan.unreachable, [(node("e"), SEQUENCE)]);
    }
}
