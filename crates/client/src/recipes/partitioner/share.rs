//! How many partitions a member should have.
//!
//! What lives here: arithmetic. What does not: getting them.

/// What stands before the number in a member's name.
pub(super) const WORD: &str = "member-";

/// How many of `partitions` are this member's share; `None` if it is not among the members.
pub(super) fn share(partitions: usize, members: &[String], own: &str) -> Option<usize> {
    let place = |name: &str| name.rsplit_once(WORD).map(|(_, number)| number.to_owned());
    let own_place = place(own)?;
    if !members.iter().any(|name| name == own) {
        return None;
    }
    let numbered = members.iter().filter_map(|name| place(name));
    let (mut before, mut count) = (0, 0_usize);
    for number in numbered {
        count += 1;
        before += usize::from(number < own_place);
    }
    let least = partitions.checked_div(count)?;
    let rest = partitions.checked_rem(count)?;
    Some(least + usize::from(before < rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Vec<String> {
        // Later members have names that sort before the others.
        (0..count)
            .map(|n| format!("_c_{:03}-{WORD}{n:010}", 999 - n))
            .collect()
    }

    #[test]
    fn shares_differ_by_one_at_most_and_make_up_the_whole() {
        for partitions in 0..40 {
            for count in 1..12 {
                let members = members(count);
                let shares: Vec<usize> = members
                    .iter()
                    .map(|own| share(partitions, &members, own).unwrap())
                    .collect();
                assert_eq!(shares.iter().sum::<usize>(), partitions);
                let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
                assert!(most - least <= 1);
                assert!(shares.is_sorted_by(|a, b| a >= b), "the first have more");
            }
        }
    }

    #[test]
    fn who_is_no_member_has_no_share_and_strangers_do_not_count() {
        let mut all = members(2);
        assert_eq!(share(4, &all, "_c_1-member-0000000007"), None);
        all.push("stranger".into());
        assert_eq!(share(4, &all, &all[0]), Some(2));
    }
}
