//! Services: names whose records say which servers there are (RFC 2782), and in which order these are tried.

use std::future::Future;
use std::io;
use std::pin::Pin;

use fastrand::Rng;
use thiserror::Error;

/// Servers of one service that are kept; the rest of a longer answer is passed over, those of the least priority first.
pub(crate) const MAX_SERVERS: usize = 100;
/// Bytes of a label and of a name, as DNS has it.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;
/// What a service is named, and its protocol, begins with.
const MARK: char = '_';
/// The target that says that there is no such service.
const NOWHERE: &str = ".";

/// One server of a service, as a record of type SRV tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// Servers with a smaller number are tried first.
    pub priority: u16,
    /// How often it comes first among those of its priority, in proportion.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name, whose addresses are looked up by the same resolver; `.` if the service is not offered.
    pub target: String,
}

/// Servers of a service that are being looked up.
pub type ServiceLookup<'a> =
    Pin<Box<dyn Future<Output = io::Result<Vec<ServiceRecord>>> + Send + 'a>>;

/// Why the records of a service name no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NoServers {
    #[error("the service has no servers")]
    NoRecords,
    /// Somebody wrote so: what was known before is wrong.
    #[error("its records say that the service is not offered")]
    NotOffered,
}

/// True for names that begin as a service's do.
pub(crate) fn is_service(name: &str) -> bool {
    let mut labels = name.split('.');
    let mut is_marked = || labels.next().is_some_and(|label| label.starts_with(MARK));
    is_marked() && is_marked()
}

/// True for `_service._proto.domain`, with a domain, of which DNS can know something.
pub(crate) fn is_valid(service: &str) -> bool {
    let name = service.strip_suffix('.').unwrap_or(service);
    let is_label = |label: &str| {
        let len = label.trim_start_matches(MARK).len();
        len > 0 && label.len() <= MAX_LABEL
    };
    name.len() <= MAX_NAME && name.split('.').count() > 2 && name.split('.').all(is_label)
}

/// The servers in the order in which they are tried: by priority, and where that is the same by a draw in which weights count.
pub(crate) fn in_order(
    mut records: Vec<ServiceRecord>,
    rng: &mut Rng,
) -> Result<Vec<ServiceRecord>, NoServers> {
    if records.is_empty() {
        return Err(NoServers::NoRecords);
    }
    records.retain(|record| record.target != NOWHERE && record.port > 0);
    if records.is_empty() {
        return Err(NoServers::NotOffered);
    }
    // Those without weight first: a draw takes one of them only if it is zero. The shuffle is for those among themselves.
    rng.shuffle(&mut records);
    records.sort_by_key(|record| (record.priority, record.weight > 0));
    records.truncate(MAX_SERVERS);
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(at) = draw(&records, rng) {
        ordered.push(records.remove(at));
    }
    Ok(ordered)
}

/// Which of those with the first priority is the next one.
fn draw(records: &[ServiceRecord], rng: &mut Rng) -> Option<usize> {
    let priority = records.first()?.priority;
    let equals = || records.iter().take_while(|r| r.priority == priority);
    let drawn = rng.u32(0..=equals().map(|record| u32::from(record.weight)).sum());
    let mut passed = 0;
    equals().position(|record| {
        passed += u32::from(record.weight);
        passed >= drawn
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> ServiceRecord {
        ServiceRecord {
            priority,
            weight,
            port: 2181,
            target: target.to_owned(),
        }
    }

    /// How often, in per cent, each target comes first.
    fn share_of_first(records: &[ServiceRecord]) -> Vec<usize> {
        const DRAWS: usize = 10_000;
        let mut rng = Rng::with_seed(2782);
        let mut firsts = vec![0; records.len()];
        for _ in 0..DRAWS {
            let ordered = in_order(records.to_vec(), &mut rng).unwrap();
            let at = records.iter().position(|other| *other == ordered[0]);
            firsts[at.unwrap()] += 100;
        }
        firsts.iter().map(|sum| (sum + DRAWS / 2) / DRAWS).collect()
    }

    #[test]
    fn a_service_is_told_from_a_host() {
        for name in ["_zk._tcp.example.org", "_zk._tcp", "_a._b.c."] {
            assert!(is_service(name), "{name}");
        }
        for name in ["zk", "_zk", "_zk.example.org", "my_zk._tcp", "10.0.0.1"] {
            assert!(!is_service(name), "{name}");
        }
    }

    #[test]
    fn a_service_has_a_name_and_a_domain() {
        let long = format!("_zk._tcp.{}", "a".repeat(64));
        let endless = format!("_zk._tcp{}", ".abcdefg".repeat(31));
        for name in ["_zk._tcp.example.org", "_zk._tcp.consul", "_zk._tcp.zk."] {
            assert!(is_valid(name), "{name}");
        }
        for name in [
            "_zk._tcp",
            "_zk._tcp.",
            "_._tcp.zk",
            "_zk._tcp..zk",
            &long,
            &endless,
        ] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn weights_say_how_often_a_server_is_the_first() {
        for (records, expected) in [
            ([(1, 10), (1, 30), (1, 60)], [10, 30, 60]),
            ([(1, 0), (1, 0), (2, 9)], [50, 50, 0]),
            ([(1, 0), (1, 0), (1, 999)], [0, 0, 100]),
            ([(2, 60), (1, 0), (3, 60)], [0, 100, 0]),
        ] {
            let named = records.into_iter().zip(["a", "b", "c"]);
            let records: Vec<_> = named
                .map(|((priority, weight), name)| record(priority, weight, name))
                .collect();
            let shares = share_of_first(&records);
            let is_near = |(is, wanted): (&usize, usize)| is.abs_diff(wanted) <= 1;
            assert!(shares.iter().zip(expected).all(is_near), "{shares:?}");
        }
    }

    #[test]
    fn a_service_that_is_not_offered_is_none_that_has_no_records() {
        let mut rng = Rng::new();
        let mut ordered = |records| in_order(records, &mut rng);
        assert_eq!(ordered(vec![]), Err(NoServers::NoRecords));
        assert_eq!(
            ordered(vec![record(0, 0, NOWHERE)]),
            Err(NoServers::NotOffered)
        );
        let beside = vec![record(0, 0, NOWHERE), record(1, 0, "a")];
        assert_eq!(ordered(beside), Ok(vec![record(1, 0, "a")]));
    }

    #[test]
    fn of_too_many_servers_those_with_the_least_priority_are_left_out() {
        let many = (0..500).map(|n| record(500 - n, n, "a")).collect();
        let ordered = in_order(many, &mut Rng::new()).unwrap();
        let priorities: Vec<u16> = ordered.iter().map(|record| record.priority).collect();
        assert_eq!(priorities, (1..=MAX_SERVERS as u16).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn every_server_has_its_place_and_none_comes_before_one_of_a_smaller_priority(
            numbers in vec((0..4_u16, any::<u16>()), 1..MAX_SERVERS),
            seed: u64,
        ) {
            let named = numbers.iter().enumerate();
            let records: Vec<_> = named
                .map(|(n, (priority, weight))| record(*priority, *weight, &n.to_string()))
                .collect();
            let mut ordered = in_order(records.clone(), &mut Rng::with_seed(seed)).unwrap();
            prop_assert!(ordered.is_sorted_by_key(|record| record.priority));
            let by_name = |record: &ServiceRecord| record.target.parse::<usize>().unwrap();
            ordered.sort_by_key(by_name);
            prop_assert_eq!(ordered, records);
        }
    }
}
