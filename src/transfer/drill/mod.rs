//! Drills: rehearsals of disasters on a copy of the real store. They measure the time until work continues, and the
//! loss.
//!
//! * `rehearsal`: the drill; [`options`]: its options and its caller; [`report`]: its results
//! * [`rebuild`]: a way to make the store anew without its machine
//! * [`targets`]: the disasters, and their targets
//! * [`scratch`]: the folder with the copy; [`stage`]: the parts that every rehearsal uses
//! * [`bots`]: bots as processes, and the operations acknowledged to them; [`bot`]: the work of such a process
//! * [`loss`]: counts the losses afterwards
//! * [`work`], [`state`], [`disk`], [`machine`]: the disasters themselves

mod bot;
mod bots;
mod disk;
mod loss;
mod machine;
mod options;
mod rebuild;
mod rehearsal;
mod report;
pub(crate) mod scratch;
mod stage;
mod state;
pub(crate) mod targets;
mod work;

pub use self::bot::drill_bot;
pub use self::options::{DrillOptions, DrillWatch};
pub use self::rebuild::Rebuilt;
pub use self::report::{DrillReport, DrillScenario};
