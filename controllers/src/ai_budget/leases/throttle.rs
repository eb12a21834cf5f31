//! How often each account may ask. Pure.

use std::collections::HashMap;
use std::time::Duration;

use showrunner_kit::clock::Mono;

/// Requests of one account within a minute.
const MOST: u32 = 120;
/// A minute.
const WINDOW: Duration = Duration::from_mins(1);
/// Accounts that are counted at once; one more is told to come again.
const MAX_ACCOUNTS: usize = 4096;

/// Counts requests, by account, in windows of a minute.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<String, (Mono, u32)>);

impl Throttle {
    /// Whether an account may ask now; else how often it may within a minute.
    pub(super) fn ask(&mut self, account: &str, now: Mono) -> Result<(), u32> {
        let is_over = |since: Mono| now.saturating_sub(since) >= WINDOW;
        if !self.0.contains_key(account) && self.0.len() >= MAX_ACCOUNTS {
            self.0.retain(|_, (since, _)| !is_over(*since));
            if self.0.len() >= MAX_ACCOUNTS {
                return Err(MOST);
            }
        }
        let (since, asked) = self.0.entry(account.to_owned()).or_insert((now, 0));
        if is_over(*since) {
            (*since, *asked) = (now, 0);
        }
        if *asked >= MOST {
            return Err(MOST);
        }
        *asked += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_for_the_next_minute_and_nobody_else_does() {
        let mut throttle = Throttle::default();
        let asked = (0..MOST * 2).filter(|_| throttle.ask("studio/app", Mono::ZERO).is_ok()).count();
        assert_eq!(asked, MOST as usize);
        assert!(throttle.ask("studio/other", Mono::ZERO).is_ok());
        assert!(throttle.ask("studio/app", Duration::from_secs(59)).is_err());
        assert!(throttle.ask("studio/app", WINDOW).is_ok());
    }

    #[test]
    fn a_flood_of_accounts_is_bounded_and_ends() {
        let mut throttle = Throttle::default();
        for nth in 0..MAX_ACCOUNTS {
            throttle.ask(&format!("studio/{nth}"), Mono::ZERO).unwrap();
        }
        assert!(throttle.ask("studio/late", Mono::ZERO).is_err() && throttle.ask("studio/0", Mono::ZERO).is_ok());
        assert!(throttle.ask("studio/late", WINDOW).is_ok());
        assert_eq!(throttle.0.len(), 1, "the others are forgotten");
    }
}
