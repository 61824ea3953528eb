//! What happens to one frame at this node, decided from its header and the routes alone.

use smallvec::{SmallVec, smallvec};

use crate::name::{LinkId, NodeName};
use crate::route::RouteTable;
use crate::wire::ack::Refusal;
use crate::wire::data::{DataHeader, HOP_LIMIT, MessageSequence, Target, TargetList, Targets};

/// What to do with a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Deliver it here, in this sequence; where the source says which is its oldest message outstanding
    /// for this node, with that.
    pub deliver: Option<(MessageSequence, Option<u64>)>,
    /// Pass these copies on.
    pub copies: SmallVec<[(LinkId, Targets); 1]>,
    /// Refuse it for these recipients.
    pub unreachable: Vec<(NodeName, MessageSequence)>,
}

/// Why a frame goes nowhere from here.
pub const LOOP_REFUSAL: Refusal = Refusal::NoRoute;

/// Decides what happens at node `me` to a frame that arrived over `arrived_on`.
///
/// A frame that was here before, or has crossed as many links as it may, or would go back where it
/// came from, is in a loop that routes in change have made: it goes no further, and its source is
/// told.
pub fn plan(routes: &RouteTable, me: &NodeName, arrived_on: LinkId, header: &DataHeader) -> Plan {
    let looped = header.route.len() >= HOP_LIMIT || header.route.contains(me);
    match &header.targets {
        Targets::Flood(sequence) => {
            if looped {
                return Plan { deliver: None, copies: SmallVec::new(), unreachable: Vec::new() };
            }
            let links = routes.broadcast_links(header.instance);
            let copies = links
                .iter()
                .filter(|link| **link != arrived_on)
                .map(|&link| (link, Targets::Flood(*sequence)))
                .collect();
            Plan { deliver: Some((*sequence, None)), copies, unreachable: Vec::new() }
        }
        Targets::List(list) => plan_list(routes, me, arrived_on, list, looped),
    }
}

fn plan_list(
    routes: &RouteTable,
    me: &NodeName,
    arrived_on: LinkId,
    list: &[Target],
    looped: bool,
) -> Plan {
    let mut plan = Plan { deliver: None, copies: SmallVec::new(), unreachable: Vec::new() };
    // By link, in ascending order; mostly there is one recipient, and one link.
    let mut onward: SmallVec<[(LinkId, SmallVec<[usize; 2]>); 1]> = SmallVec::new();
    for (index, target) in list.iter().enumerate() {
        let Some(sequence) = target.sequence else {
            continue;
        };
        if target.name == *me && !looped {
            plan.deliver = Some((sequence, Some(target.oldest)));
            continue;
        }
        match routes.route(target.name.as_str()) {
            Some(route) if !looped && route.link != arrived_on => {
                match onward.binary_search_by_key(&route.link, |(link, _)| *link) {
                    Ok(place) => onward[place].1.push(index),
                    Err(place) => onward.insert(place, (route.link, smallvec![index])),
                }
            }
            Some(_) | None => plan.unreachable.push((target.name.clone(), sequence)),
        }
    }
    for (link, indices) in onward {
        plan.copies.push((link, Targets::List(share(list, &indices))));
    }
    plan
}

/// The list with the sequences of those alone whose places are given, in ascending order.
pub(crate) fn share(list: &[Target], kept: &[usize]) -> TargetList {
    list.iter()
        .enumerate()
        .map(|(index, target)| Target {
            name: target.name.clone(),
            sequence: target.sequence.filter(|_| kept.binary_search(&index).is_ok()),
            oldest: target.oldest,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{instance, node, table};
    use crate::wire::data::Channel;

    const SLOT: MessageSequence = MessageSequence { number: 1, floor: 1 };

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
                .map(|name| Target { name: node(name), sequence: Some(SLOT), oldest: 1 })
                .collect(),
        )
    }

    const STAR: &[(&str, &str)] = &[("a", "b"), ("b", "c"), ("b", "d"), ("d", "e")];

    #[test]
    fn a_set_is_split_where_routes_part() {
        let routes = table("b", STAR);
        let header = header("a", list(&["b", "c", "d", "e", "x"]), &["a"]);
        let plan = plan(&routes, &node("b"), LinkId(1), &header);
        assert_eq!(plan.deliver, Some((SLOT, Some(1))));
        assert_eq!(plan.unreachable, [(node("x"), SLOT)]);
        let shares: Vec<(LinkId, Vec<bool>)> = plan
            .copies
            .into_iter()
            .map(|(link, targets)| match targets {
                Targets::List(list) => (link, list.iter().map(|t| t.sequence.is_some()).collect()),
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
    fn a_broadcast_goes_on_away_from_its_source_only() {
        let routes = table("b", STAR);
        let header = header("a", Targets::Flood(SLOT), &["a"]);
        let plan = plan(&routes, &node("b"), LinkId(1), &header);
        assert_eq!(plan.deliver, Some((SLOT, None)));
        assert_eq!(
            plan.copies.as_slice(),
            [(LinkId(3), Targets::Flood(SLOT)), (LinkId(4), Targets::Flood(SLOT))]
        );
    }

    #[test]
    fn what_was_here_before_goes_no_further() {
        let routes = table("b", STAR);
        for (route, arrived_on) in
            [(&["a", "b", "c"][..], LinkId(3)), (&["a"; HOP_LIMIT][..], LinkId(1))]
        {
            let plan = plan(&routes, &node("b"), arrived_on, &header("a", list(&["e"]), route));
            assert!(plan.copies.is_empty());
            assert_eq!(plan.unreachable, [(node("e"), SLOT)]);
        }
    }

    #[test]
    fn nothing_goes_back_where_it_came_from() {
        let routes = table("b", STAR);
        let plan = plan(&routes, &node("b"), LinkId(4), &header("a", list(&["e"]), &["a"]));
        assert!(plan.copies.is_empty());
        assert_eq!(plan.unreachable, [(node("e"), SLOT)]);
    }
}
