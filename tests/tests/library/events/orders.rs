//! Events that come twice, late, or in another order.

use ampoule_functions::event::{Event, Notice, notice};
use ampoule_functions::job::ObjectName;

use super::shapes::{notification, uploaded};

fn named(key: &str, sequencer: Option<&str>) -> ObjectName {
    ObjectName {
        bucket: "in".to_owned(),
        key: key.to_owned(),
        version: None,
        sequencer: sequencer.map(str::to_owned),
    }
}

/// All orders of `items`.
pub fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for index in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(index);
        for mut order in orders(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

#[test]
fn of_five_events_of_one_key_the_latest_is_done_in_all_120_orders() {
    // Shorter sequencers are padded on the right: "00B" stands for "00B0".
    let sequencers = ["00A1", "00AFFF", "00B", "00B01", "00b1"];
    let orders = orders(&sequencers);
    assert_eq!(orders.len(), 120);
    for order in orders {
        let records: Vec<_> = order.iter().map(|sequencer| uploaded("in", "k", sequencer)).collect();
        let Ok(Event::Notice(Notice::Objects(objects))) = Event::read(&notification(&records).to_string())
        else {
            panic!("these are objects")
        };
        let latest = notice::latest(&objects.iter().collect::<Vec<_>>());
        let kept: Vec<&str> =
            order.iter().zip(latest).filter(|(_, latest)| *latest).map(|(sequencer, _)| *sequencer).collect();
        assert_eq!(kept, ["00b1"], "{order:?}");
    }
}

#[test]
fn the_same_event_twice_is_one() {
    let twice = [named("k", Some("00A")), named("k", Some("00A0")), named("k", Some("00a000"))];
    assert_eq!(notice::latest(&twice.iter().collect::<Vec<_>>()), [true, false, false]);
}

#[test]
fn keys_buckets_and_events_without_order_dont_meet() {
    let mut elsewhere = named("k", Some("01"));
    elsewhere.bucket = "other".to_owned();
    let objects = [
        named("k", Some("02")),
        named("j", Some("01")),
        elsewhere,
        named("k", None),
        named("k", None),
        named("k", Some("no number")),
        named("k", Some("")),
    ];
    assert_eq!(notice::latest(&objects.iter().collect::<Vec<_>>()), [true; 7]);
}
